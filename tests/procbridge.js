// SPDX-License-Identifier: Apache-2.0
//
// procbridge.js PACKAGE serve WHERE            a server of the npm package procbridge, with the methods that
//                                              each port's own suite has
// procbridge.js PACKAGE suite WHERE [PREFIX]   that suite, as a client: "ok CLAIM" or "not ok CLAIM" a line;
//                                              PREFIX goes before each method
//
// PACKAGE is the folder with the package in it; WHERE is a path, or a port of 127.0.0.1.
'use strict'

const assert = require('assert')
const fs = require('fs')
const path = require('path')
const [, , folder, what, where, prefix = ''] = process.argv
const { Client, Server } = require(path.resolve(folder))
const place = /^\d+$/.test(where) ? ['127.0.0.1', Number(where)] : [where]

function serve () {
  const server = new Server(...place, (method, payload) => {
    switch (method) {
      case 'echo': return payload
      case 'sum': return payload.reduce((sum, next) => sum + next)
      case 'err': throw new Error('generated error')
      case 'sleep': return new Promise(resolve => setTimeout(resolve, payload))
      default: return null
    }
  })
  server.start()
  server.server.on('listening', () => console.log('listening'))
}

async function suite () {
  const client = new Client(...place)
  const ask = (method, payload) => client.request(method === null ? null : prefix + method, payload)
  const claims = {
    none: async () => {
      assert.strictEqual(await ask(prefix ? 'x' : null), null)
      assert.strictEqual(await ask('echo'), null)
      assert.strictEqual(await ask(prefix ? 'x' : null, 'hello'), null)
    },
    echo: async () => {
      for (const v of [123, 3.14, 'hello', ['a', 'b'], { key: 'value' }, { key: 'e😄э' }, '', 0, false]) {
        assert.deepStrictEqual(await ask('echo', v), v)
      }
    },
    sum: async () => assert.strictEqual(await ask('sum', [1, 2, 3, 4]), 10),
    err: () => assert.rejects(ask('err'), { name: 'ServerError', message: 'generated error' }),
    bigPayload: async () => {
      const text = fs.readFileSync(path.join(folder, 'test', 'article.txt'), { encoding: 'utf8' })
      assert.strictEqual(await ask('echo', text), text)
    },
    // Larger than what the server's own socket takes at once is lost by itself: it destroys the socket.
    multibyte: async () => {
      const text = 'é😄э'.repeat(5000)
      assert.strictEqual(await ask('echo', text), text)
    },
    'forty at a time': async () => {
      const all = [...Array(40).keys()]
      assert.deepStrictEqual(await Promise.all(all.map(i => ask('echo', i))), all)
    }
  }

  for (const [claim, check] of Object.entries(claims)) {
    try {
      await check()
      console.log(`ok ${claim}`)
    } catch (err) {
      console.log(`not ok ${claim}`)
      console.error(err)
    }
  }
}

what === 'serve' ? serve() : suite()
