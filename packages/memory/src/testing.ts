export type { HandlerError } from './test-loop.js'
export type { TestMessage } from './test-messages.js'
export { type DrainOptions, TestTransport, type TestTransportOptions, testTransport } from './test-transport.js'
