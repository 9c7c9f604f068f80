export type { Contradiction, Operator, OperatorLoad } from './operator.js'
export { keepOperatorLedger, type OperatorCase, type OperatorLedger } from './operator-ledger.js'
export { OPERATORS } from './operators.js'
