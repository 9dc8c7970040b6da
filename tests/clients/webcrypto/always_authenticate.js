"use strict";
/*
 * CKA_ALWAYS_AUTHENTICATE as node-webcrypto-p11 uses it: generated and imported keys carry the attribute, and each use
 * of the private key asks the application for the PIN. Five cases for each of four algorithms.
 */

const assert = require("node:assert");
const { context, it, run } = require("./runner");
const { openToken, pin } = require("./token");

const crypto = openToken();
const { subtle } = crypto;
const data = new Uint8Array(Buffer.from("bytes of the test"));
const rsa = { publicExponent: new Uint8Array([1, 0, 1]), modulusLength: 2048 };

const signing = {
	usages: ["sign", "verify"],
	use: (algorithm, keys) => subtle.sign(algorithm, keys.privateKey, data),
	holds: (algorithm, keys, signature) => subtle.verify(algorithm, keys.publicKey, signature, data),
};
const decrypting = {
	usages: ["encrypt", "decrypt"],
	use: async (algorithm, keys) => subtle.decrypt(algorithm, keys.privateKey, await subtle.encrypt(algorithm, keys.publicKey, data)),
	holds: (algorithm, keys, plain) => Buffer.from(plain).equals(Buffer.from(data)),
};
const algorithms = [
	[{ name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", ...rsa }, signing],
	[{ name: "RSA-PSS", hash: "SHA-256", saltLength: 32, ...rsa }, signing],
	[{ name: "RSA-OAEP", hash: "SHA-1", ...rsa }, decrypting],
	[{ name: "ECDSA", hash: "SHA-256", namedCurve: "P-256" }, signing],
];

// The callback answers that; what is returned tells how often it was asked.
function answering(answer) {
	let times = 0;
	crypto.onAlwaysAuthenticate = () => {
		times++;
		return answer;
	};
	return () => times;
}

for (const [algorithm, kind] of algorithms) {
	context(algorithm.name, () => {
		let made;
		const keys = () => (made ??= subtle.generateKey({ ...algorithm, alwaysAuthenticate: true }, true, kind.usages));

		it("a generated and an imported key say that they need authentication", async () => {
			const { privateKey, publicKey } = await keys();
			assert.strictEqual(privateKey.alwaysAuthenticate, true);
			assert.strictEqual(publicKey.alwaysAuthenticate, undefined);
			const pkcs8 = await subtle.exportKey("pkcs8", privateKey);
			const imported = await subtle.importKey("pkcs8", pkcs8, { ...algorithm, alwaysAuthenticate: true }, false, [kind.usages.find((u) => u === "sign" || u === "decrypt")]);
			assert.strictEqual(imported.alwaysAuthenticate, true);
		});

		it("without the callback the use is an error", async () => {
			crypto.onAlwaysAuthenticate = undefined;
			await assert.rejects(async () => kind.use(algorithm, await keys()), /requires re-authentication/);
		});

		it("a callback that returns nothing skips the login", async () => {
			const asked = answering(null);
			await assert.rejects(async () => kind.use(algorithm, await keys()), /CKR_USER_NOT_LOGGED_IN/);
			assert.strictEqual(asked(), 1);
		});

		it("each use asks once", async () => {
			const asked = answering(pin);
			for (let use = 1; use <= 3; use++) {
				const result = await kind.use(algorithm, await keys());
				assert.ok(await kind.holds(algorithm, await keys(), result));
				assert.strictEqual(asked(), use);
			}
		});

		it("a wrong PIN is refused, and the next use may succeed", async () => {
			answering(`${pin}1`);
			await assert.rejects(async () => kind.use(algorithm, await keys()), /CKR_PIN_INCORRECT/);
			answering(pin);
			assert.ok(await kind.holds(algorithm, await keys(), await kind.use(algorithm, await keys())));
		});
	});
}

run().finally(() => crypto.close());
