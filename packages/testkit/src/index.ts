export { type ArrivalAttackSettings, arrivalAttacks } from './attacks/arrival-attacks.js'
export { type AttackedNames, type ReplyAttackSettings, replyAttacks } from './attacks/reply-attacks.js'
export { conformance } from './conformance/conformance.js'
export type {
  ConformanceSettings,
  ForeignClient,
  ForeignRecord,
  OpenDedupeStore,
  ShortTimeouts,
  Topology,
} from './conformance/settings.js'
export { crashConformance } from './crashes/crash-conformance.js'
export type { CrashSettings } from './crashes/settings.js'
export { effectivelyOnce } from './effectively-once/effectively-once.js'
export type { EffectivelyOnceSettings } from './effectively-once/settings.js'
export { faults } from './faults/suite/faults.js'
export type { FaultRow } from './faults/suite/rows.js'
export type {
  BrokerMeans,
  FaultServer,
  FaultSettings,
  FaultStand,
  MeansTarget,
  RecoveryBounds,
} from './faults/suite/settings.js'
export { type NativeNamesSettings, nativeNames } from './native-names/native-names.js'
export { replyFaults } from './replies/reply-faults.js'
export type { ReplyFaultSettings } from './replies/settings.js'
export { type TlsCasesSettings, type TlsMismatch, type TlsServer, tlsCases } from './tls/tls-cases.js'
