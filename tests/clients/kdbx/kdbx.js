"use strict";
/*
 * A KDBX 4 database that opens with a password and the response of a key behind the gateway: made, saved, opened again, and not opened
 * with anything else. Prints one line for each case, "ok NAME" or "not ok NAME: MESSAGE".
 *
 *   node kdbx.js PROFILES   a JSON array of {name, request, other, len}: members of the challenge's request, the label of another key,
 *                           and the length of the response in bytes
 *
 * The application is logged in already.
 */
const https = require("https");
const fs = require("fs");
const kdbxweb = require("kdbxweb");

const agent = new https.Agent({
	keepAlive: true,
	ca: fs.readFileSync(process.env.P11GATE_CA),
	cert: fs.readFileSync(process.env.P11GATE_CERT),
	key: fs.readFileSync(process.env.P11GATE_KEY),
});

function post(path, body) {
	return new Promise((resolve, reject) => {
		const request = https.request(`${process.env.P11GATE_URL}${path}`,
			{ method: "POST", agent, headers: { "Content-Type": "application/json" } }, (answer) => {
				let text = "";
				answer.on("data", (part) => { text += part; });
				answer.on("end", () => resolve({ status: answer.statusCode, body: text ? JSON.parse(text) : null }));
			});
		request.on("error", reject);
		request.end(JSON.stringify(body));
	});
}

const challenges = [];

/* What kdbxweb calls with the KDF's salt each time a database is opened or saved. */
function responder(request, len) {
	return async (salt) => {
		const challenge = Buffer.from(salt).toString("base64url");
		challenges.push(challenge);
		const answer = await post(`/v1/slots/${process.env.P11GATE_SLOT}/challenge-response`, { challenge, ...request });
		if (answer.status !== 200)
			throw new Error(JSON.stringify(answer.body));
		const response = Buffer.from(answer.body.response, "base64url");
		if (response.length !== len || !answer.body.deterministic)
			throw new Error(`a response of ${response.length} bytes`);
		return new Uint8Array(response);
	};
}

function credentials(request, len) {
	const password = kdbxweb.ProtectedValue.fromString("correct horse");
	return new kdbxweb.KdbxCredentials(password, null, request && responder(request, len));
}

async function make(request, len) {
	const database = kdbxweb.Kdbx.create(credentials(request, len), "vault");
	database.setKdf(kdbxweb.Consts.KdfId.Aes);
	const entry = database.createEntry(database.getDefaultGroup());
	entry.fields.set("Title", "mail");
	entry.fields.set("Password", kdbxweb.ProtectedValue.fromString("hunter2"));
	return { database, file: await database.save() };
}

async function password(file, key) {
	const database = await kdbxweb.Kdbx.load(file, key);
	return database.getDefaultGroup().entries[0].fields.get("Password").getText();
}

function equal(got, wanted) {
	if (got !== wanted)
		throw new Error(`${got} instead of ${wanted}`);
}

async function refused(file, key) {
	const code = await kdbxweb.Kdbx.load(file, key).then(() => "opened", (error) => error.code);
	equal(code, kdbxweb.Consts.ErrorCodes.InvalidKey);
}

async function run(name, body) {
	try {
		await body();
		console.log(`ok ${name}`);
	} catch (error) {
		console.log(`not ok ${name}: ${error.message}`);
	}
}

async function profile({ name, request, other, len }) {
	const { database, file } = await make(request, len);
	await run(`${name}: what was saved opens again`, async () => equal(await password(file, credentials(request, len)), "hunter2"));
	await run(`${name}: the challenge is the salt of 32 bytes`, async () => equal(Buffer.from(challenges.at(-1), "base64url").length, 32));
	await run(`${name}: each save has another salt, and opens`, async () => {
		const before = challenges.at(-1);
		const again = await database.save();
		equal(challenges.at(-1) === before, false);
		equal(await password(again, credentials(request, len)), "hunter2");
	});
	await run(`${name}: the response of another key is InvalidKey`, async () =>
		refused(file, credentials({ ...request, key: { label: other } }, len)));
	await run(`${name}: without a response it is InvalidKey`, async () => refused(file, credentials(null)));
}

async function main() {
	for (const each of JSON.parse(process.argv[2]))
		await profile(each);
	agent.destroy();
}

main();
