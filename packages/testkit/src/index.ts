export { conformance } from './conformance/conformance.js'
export type {
  ConformanceSettings,
  ForeignClient,
  ForeignRecord,
  ShortTimeouts,
  Topology,
} from './conformance/settings.js'
