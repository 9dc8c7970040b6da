"use strict";
// The token of the test: P11GATE_TEST_MODULE names the module, P11GATE_PIN the user's PIN.

const { Crypto } = require("node-webcrypto-p11");

const pin = process.env.P11GATE_PIN;

function openToken() {
	return new Crypto({ library: process.env.P11GATE_TEST_MODULE, name: "token", slot: 0, readWrite: true, pin });
}

module.exports = { openToken, pin };
