"use strict";
/*
 * A runner for tests written with context and it: one after the other, each a line on standard output, "ok NAME" or
 * "not ok NAME: MESSAGE". The message is part of the line so that two runs can be compared error by error.
 */

const path = [];
const tests = [];

function context(name, body) {
	path.push(name);
	body();
	path.pop();
}

function it(name, body) {
	tests.push({ name: [...path, name].join(" / "), body });
}

// A test that its author switched off is none.
it.skip = () => {};
it.only = it;

async function run() {
	for (const test of tests) {
		try {
			await test.body();
			console.log(`ok ${test.name}`);
		} catch (error) {
			// The native part adds where in its own source it noticed.
			const message = String(error && error.message).split("\n")[0].replace(/ at .*:\d+.*$/, "");
			console.log(`not ok ${test.name}: ${message}`);
		}
	}
}

module.exports = { context, it, run };
