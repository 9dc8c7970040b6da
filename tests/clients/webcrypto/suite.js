"use strict";
/*
 * What the package's own suite is made of: the published vectors of @peculiar/webcrypto-test, all of them, and the
 * storage of keys and certificates. What the token does not offer fails here; directly and through the gateway it
 * must be the same.
 */

const assert = require("node:assert");
const { context, it, run } = require("./runner");
const { openToken } = require("./token");
Object.assign(globalThis, { context, it });
const { WebcryptoTest } = require("@peculiar/webcrypto-test");

const crypto = openToken();
const { subtle } = crypto;
const bytes = (length) => crypto.getRandomValues(new Uint8Array(length));
const same = (a, b) => Buffer.from(a).equals(Buffer.from(b));

WebcryptoTest.check(crypto, {});

context("random", () => {
	for (const length of [1, 1024, 65536])
		it(`${length} bytes`, () => assert.notDeepStrictEqual(bytes(length).length === 1 ? [256] : bytes(length), new Uint8Array(length)));
	it("more than 65536 bytes are refused", () => assert.throws(() => bytes(65537)));
});

context("data of many lengths", () => {
	for (const length of [1, 15, 16, 17, 1023, 4096, 65537, 300000]) {
		it(`AES-CBC, ${length} bytes`, async () => {
			const key = await subtle.generateKey({ name: "AES-CBC", length: 256 }, true, ["encrypt", "decrypt"]);
			const algorithm = { name: "AES-CBC", iv: bytes(16) };
			const plain = Buffer.alloc(length, "x");
			assert.ok(same(await subtle.decrypt(algorithm, key, await subtle.encrypt(algorithm, key, plain)), plain));
		});
		it(`SHA-256, ${length} bytes`, async () => {
			const expected = require("node:crypto").createHash("sha256").update(Buffer.alloc(length, "x")).digest();
			assert.ok(same(await subtle.digest("SHA-256", Buffer.alloc(length, "x")), expected));
		});
		it(`HMAC, ${length} bytes`, async () => {
			const key = await subtle.generateKey({ name: "HMAC", hash: "SHA-256", length: 256 }, true, ["sign", "verify"]);
			const plain = Buffer.alloc(length, "x");
			assert.ok(await subtle.verify("HMAC", key, await subtle.sign("HMAC", key, plain), plain));
		});
	}
});

context("key storage", () => {
	const kinds = {
		RSA: [{ name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", publicExponent: new Uint8Array([1, 0, 1]), modulusLength: 2048 }, "privateKey"],
		EC: [{ name: "ECDSA", namedCurve: "P-256" }, "privateKey"],
		"EC public": [{ name: "ECDSA", namedCurve: "P-384" }, "publicKey"],
		AES: [{ name: "AES-CBC", length: 128 }, null],
	};
	for (const [name, [algorithm, part]] of Object.entries(kinds)) {
		it(`${name} is kept, found and removed`, async () => {
			const made = await subtle.generateKey(algorithm, true, part ? ["sign", "verify"] : ["encrypt", "decrypt"]);
			const key = part ? made[part] : made;
			assert.strictEqual(await crypto.keyStorage.indexOf(key), null);
			assert.strictEqual(await crypto.keyStorage.hasItem(key), false);
			const index = await crypto.keyStorage.setItem(key);
			assert.ok((await crypto.keyStorage.keys()).includes(index));
			const kept = await crypto.keyStorage.getItem(index);
			assert.strictEqual(kept.type, key.type);
			assert.strictEqual(await crypto.keyStorage.indexOf(kept), index);
			await crypto.keyStorage.removeItem(index);
			assert.ok(!(await crypto.keyStorage.keys()).includes(index));
			await assert.rejects(crypto.keyStorage.getItem(index));
		});
	}
	it("a kept key signs", async () => {
		const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
		const { privateKey, publicKey } = await subtle.generateKey(algorithm, false, ["sign", "verify"]);
		const index = await crypto.keyStorage.setItem(privateKey);
		const kept = await crypto.keyStorage.getItem(index, algorithm, false, ["sign"]);
		assert.ok(await subtle.verify(algorithm, publicKey, await subtle.sign(algorithm, kept, Buffer.from("x")), Buffer.from("x")));
		await crypto.keyStorage.removeItem(index);
	});
	it("a key made in the storage is in it", async () => {
		const key = await subtle.generateKey({ name: "AES-CBC", length: 256, token: true, label: "kept" }, false, ["encrypt"]);
		assert.ok(await crypto.keyStorage.hasItem(key));
		await crypto.keyStorage.clear();
		assert.deepStrictEqual(await crypto.keyStorage.keys(), []);
	});
});

context("certificate storage", () => {
	const pem = require("node:fs").readFileSync(process.env.P11GATE_TEST_CERTIFICATE, "ascii");
	const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
	it("a certificate is imported, kept, exported and removed", async () => {
		const certificate = await crypto.certStorage.importCert("pem", pem, algorithm, ["verify"]);
		assert.strictEqual(await crypto.certStorage.hasItem(certificate), false);
		const index = await crypto.certStorage.setItem(certificate);
		assert.ok((await crypto.certStorage.keys()).includes(index));
		const kept = await crypto.certStorage.getItem(index, algorithm, ["verify"]);
		assert.strictEqual((await crypto.certStorage.exportCert("pem", kept)).replace(/\s/g, ""), pem.replace(/\s/g, ""));
		assert.strictEqual(kept.serialNumber, certificate.serialNumber);
		assert.strictEqual(kept.subjectName, certificate.subjectName);
		await crypto.certStorage.clear();
		assert.deepStrictEqual(await crypto.certStorage.keys(), []);
	});
	it("what is no certificate is refused", () => assert.rejects(crypto.certStorage.importCert("raw", bytes(64), algorithm, ["verify"])));
});

run().finally(() => crypto.close());
