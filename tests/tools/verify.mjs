// Verifies access tokens with jose, jsonwebtoken and fast-jwt as a backend does.
//
// Reads lines of JSON {"secret", "tokens": {name: token}}; answers each with a line of JSON
// {library: {name: null, or why it is refused}}.

import readline from 'node:readline'
import { createVerifier } from 'fast-jwt'
import * as jose from 'jose'
import jsonwebtoken from 'jsonwebtoken'

const libraries = {
  jose: (token, secret) =>
    jose.jwtVerify(token, new TextEncoder().encode(secret), { algorithms: ['HS256'] }),
  jsonwebtoken: (token, secret) => jsonwebtoken.verify(token, secret, { algorithms: ['HS256'] }),
  'fast-jwt': (token, secret) => createVerifier({ key: secret, algorithms: ['HS256'] })(token),
  'jose, by default': (token, secret) => jose.jwtVerify(token, new TextEncoder().encode(secret)),
  'jsonwebtoken, by default': (token, secret) => jsonwebtoken.verify(token, secret),
  'fast-jwt, by default': (token, secret) => createVerifier({ key: secret })(token),
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { secret, tokens } = JSON.parse(line)
  const answer = {}
  for (const [library, verify] of Object.entries(libraries)) {
    answer[library] = {}
    for (const [name, token] of Object.entries(tokens)) {
      try {
        await verify(token, secret)
        answer[library][name] = null
      } catch (refusal) {
        answer[library][name] = String(refusal)
      }
    }
  }
  console.log(JSON.stringify(answer))
}
