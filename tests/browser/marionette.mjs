// Firefox by its own protocol, and the waiting that every browser needs. It is put before the scripts
// that drive browsers, so each is one module with it.

import net from 'node:net'

// Returns a free port on loopback.
const freePort = () =>
  new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })

// Repeats what fails until something is ready.
const soon = async (attempt) => {
  const deadline = Date.now() + 150_000
  for (;;) {
    try {
      return await attempt()
    } catch (failure) {
      if (Date.now() > deadline) throw failure
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

// Connects to a Firefox that listens on that port. Returns a function that sends it a command.
// Firefox speaks Marionette: `length:[0, id, command, parameters]`, `length:[1, id, error, result]`.
const marionette = async (port) => {
  const connect = () =>
    new Promise((resolve, reject) => {
      const socket = net.connect(port, '127.0.0.1', () => resolve(socket))
      socket.on('error', reject)
    })
  const socket = await soon(connect)
  const waiting = []
  let read = Buffer.alloc(0)
  socket.on('data', (some) => {
    read = Buffer.concat([read, some])
    for (;;) {
      const colon = read.indexOf(':')
      const end = colon + 1 + Number(read.subarray(0, colon))
      if (colon < 0 || read.length < end) return
      const message = JSON.parse(read.subarray(colon + 1, end))
      read = read.subarray(end)
      if (!Array.isArray(message)) continue
      const [, , error, result] = message
      const { resolve, reject } = waiting.shift()
      if (error) reject(new Error(error.message))
      else resolve(result)
    }
  })
  let count = 0
  return (name, parameters) =>
    new Promise((resolve, reject) => {
      waiting.push({ resolve, reject })
      const message = JSON.stringify([0, (count += 1), name, parameters])
      socket.write(`${Buffer.byteLength(message)}:${message}`)
    })
}

// What takes longer hangs.
const inTime = (promise, limit = 60_000) => {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('it hangs')), limit)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

// WebDriver's asynchronous scripts call back.
const calling = (script) => `const tell = arguments[arguments.length - 1];
  (async () => (${script}))().then((done) => tell({ done }), (failure) => tell({ failed: String(failure) }))`
