/** Fuzzing of decoders: whatever another process writes, they read it or refuse it with a declared error, within bounds of memory and work. */

export { forwardedRecord } from './forwarded-record.js'
export { type FuzzReport, type FuzzSettings, formatReport, fuzz } from './fuzz.js'
export { SocketRecorder } from './record-sockets.js'
export { type FuzzSuite, fuzzing } from './suite.js'
export { type Finding, type FuzzLimits, type FuzzTarget, Violation } from './target.js'
export { transportSettings } from './transport-settings.js'
