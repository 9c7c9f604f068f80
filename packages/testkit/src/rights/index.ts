export { type LimitedUser, type MoreRights, TESTED_RIGHTS_VARIABLE, type TestedRights } from './conformance-rights.js'
export { ConnectionReader, type ConnectionSource, type SeenConnection } from './connections.js'
export { kafkaAclLines } from './kafka-rights.js'
export {
  type LimitedBroker,
  type LimitedBrokerSettings,
  type LimitedTransport,
  startLimitedBroker,
} from './limited-broker.js'
export { type RightsCasesSettings, rightsCases } from './rights-cases.js'
export type { RightsParameters } from './rights-file.js'
export type { ChangedRole } from './roles.js'
