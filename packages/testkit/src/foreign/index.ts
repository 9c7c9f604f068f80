/**
 * A property of adapters with a `nativeForm`: whatever a foreign client writes can be dead-lettered, listed, replayed and forwarded, and stays as it came.
 */
export {
  headerNames,
  headerTexts,
  invalidUtf8,
  nonTextBytes,
  type ShareOfKind,
  sharesOf,
  someBytes,
  timestamps,
} from './arbitraries.js'
export { type ForeignMessage, type ForeignMessageSettings, passesForeignMessages } from './passes-foreign-messages.js'
