import { KAFKA_OPERATORS } from './kafka-operators.js'
import type { Operator } from './operator.js'
import { RABBITMQ_OPERATORS } from './rabbitmq-operators.js'
import { REDIS_OPERATORS } from './redis-operators.js'

/** All operators, by broker. */
export const OPERATORS: readonly Operator[] = [...REDIS_OPERATORS, ...RABBITMQ_OPERATORS, ...KAFKA_OPERATORS]
