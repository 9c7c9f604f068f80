export {
  checkHistory,
  type HandledMessage,
  type HandlerRecording,
  type HistoryVerdict,
  type LedgerEntry,
  type LedgerHandling,
  type LedgerLine,
  LedgerReader,
  type LedgerSend,
  type LedgerVerdict,
  LedgerWriter,
  ledgerTime,
  type ProcessEvent,
  recordHandler,
  recordSend,
  type SentMessage,
} from '../ledger/index.js'
export { type ProxiedBroker, type ProxiedScheme, startProxiedBroker } from './proxied-broker.js'
export { type RabbitmqResource, setRabbitmqAlarm } from './rabbitmq-alarm.js'
export { type Direction, type Reach, TcpProxy, type TcpProxyOptions } from './tcp-proxy.js'
export { startWorker, Worker } from './worker.js'
export type { ConsumerRole, MakeHandler, MakeSettings, ProducerRole, WorkerSpec } from './worker-spec.js'
