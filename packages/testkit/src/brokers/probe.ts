import { connect } from 'node:net'
import { BrokerError } from './errors.js'

/** One request on a fresh connection to 127.0.0.1. */
export interface Exchange {
  readonly port: number
  /** What is checked, for the error's text. */
  readonly what: string
  readonly request: Buffer
  /** Called with everything received so far: undefined waits for more, true accepts, a text says what is wrong. */
  readonly judge: (received: Buffer) => true | string | undefined
  readonly timeoutMs: number
}

/** Sends a request and resolves when the answer is accepted; rejects with TIMEOUT or UNAVAILABLE otherwise. */
export function exchange({ port, what, request, judge, timeoutMs }: Exchange): Promise<void> {
  return new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0)
    const socket = connect({ port, host: '127.0.0.1' })
    const finish = (error?: BrokerError): void => {
      socket.destroy()
      if (error === undefined) resolve()
      else reject(error)
    }
    const fail = (reason: string): void => finish(new BrokerError('UNAVAILABLE', `${what} on port ${port}: ${reason}`))
    socket.setTimeout(timeoutMs, () =>
      finish(new BrokerError('TIMEOUT', `${what} on port ${port}: no answer within ${timeoutMs} ms`)),
    )
    socket.on('connect', () => socket.write(request))
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      const verdict = judge(received)
      if (verdict === true) finish()
      else if (verdict !== undefined) fail(verdict)
    })
    socket.on('error', (error) => fail(error.message))
    // A settled promise ignores this, so an accepted answer stays accepted.
    socket.on('close', () => fail('the connection was closed without an answer'))
  })
}

/** Resolves when something accepts connections on the port. */
export function checkAccepts(port: number, what: string, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' })
    const fail = (reason: string): void => {
      socket.destroy()
      reject(new BrokerError('UNAVAILABLE', `${what} on port ${port}: ${reason}`))
    }
    socket.setTimeout(timeoutMs, () => fail(`no connection within ${timeoutMs} ms`))
    socket.on('error', (error) => fail(error.message))
    socket.on('connect', () => {
      socket.destroy()
      resolve()
    })
  })
}
