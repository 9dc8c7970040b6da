/*
 * A request to use one key, with one item or several: what signing, verifying, MACs, encryption and decryption have in common; and hashing,
 * which uses none.
 *
 * The kind reads the algorithm and the items and does one item; everything around it is here: the key found, its public half where
 * that is what is used, the PIN, the batch of which a failed item does not fail the rest, and the answer as JSON or octets.
 */
#ifndef P11GATE_WORKER_RESOURCES_KEY_USE_H
#define P11GATE_WORKER_RESOURCES_KEY_USE_H

#include <jansson.h>

#include "api/schema.h"
#include "server/worker/resources/cipher.h"
#include "server/worker/resources/key_plan.h"
#include "server/worker/resources/signer.h"

struct key_use_item {
	struct signer_input input;
	struct bytes signature; /* to verify */
	struct cipher_input cipher; /* to encrypt or decrypt */
	struct key_query target; /* the key to wrap */
	struct bytes result;
	bool valid; /* what verification says */
};

struct key_use_kind;

struct key_use {
	struct request *request;
	const struct key_use_kind *kind;
	struct key_query key;
	struct signer signer;
	struct cipher cipher;
	struct key_plan plan; /* of the key to make */
	struct bytes peer; /* the public key to agree with */
	const char *asked; /* name of the algorithm or mechanism as asked for */
	bool by_mechanism; /* … which is a mechanism */
	struct key_use_item *items;
	size_t count;
	bool batch;
};

/* What is done with the key. A reader or check that answers false has made the reply. */
struct key_use_kind {
	enum schema_id schema; /* of the request; its members items and pin are read here */
	bool keyless; /* no key is used */
	bool derives; /* makes a key, in a step that takes no PIN (A18) */
	bool public_half; /* of a pair it is the public key that is used */
	bool answers_challenge; /* also with a key that is kept for challenges (D9): nothing is made that could answer one */
	const char *failed; /* "The token did not sign." */
	bool (*read)(struct key_use *use, const json_t *body);
	/* `pointer` is the place of the object, "" for the body itself. */
	bool (*read_item)(
		const struct key_use *use, const json_t *object, const char *pointer, struct key_use_item *ret_item);
	/* Whether key and request go together. */
	bool (*check)(struct use *use, const struct key *key, const struct key_use *key_use);
	/* As key_operation_run; *ret_withheld also says that the reply is complete for another reason. */
	CK_RV(*run)
	(struct use *use, const struct key *key, const struct key_use *key_use, struct key_use_item *item,
		bool *ret_withheld);
	/* The members of the item's result, into an open object. */
	void (*write)(const struct key_use_item *item, struct json_writer *writer);
	/* The same as octets, in `out`; NULL: the result is no such thing. */
	void (*write_octets)(const struct key_use_item *item, struct buffer *out);
};

/*
 * Serves request->message, by the kind of its route; `held` is NULL for a request that comes from the client itself.
 */
void key_use_serve(struct request *request, struct held_pin *held);

/* What a kind's `read` begins with: either `algorithm` or `mechanism` names how; ret_mechanism of the latter. */
bool key_use_read_asked(struct key_use *use, const json_t *body, CK_MECHANISM *ret_mechanism)
	__attribute__((warn_unused_result));

/* "/algorithm" or "/mechanism", whichever it was. */
const char *key_use_asked_pointer(const struct key_use *use);

extern const struct key_use_kind key_use_sign, key_use_mac, key_use_verify, key_use_encrypt, key_use_decrypt,
	key_use_digest, key_use_wrap, key_use_unwrap, key_use_derive;

#endif
