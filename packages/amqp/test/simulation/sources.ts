import type { ConsumerDriver, ConsumerSink, ConsumerSpec } from '@streamswitch/core/driver'
import type { ChannelModel } from 'amqplib'
import type { AmqpConnection } from '../../src/connection.js'
import type { Epochs } from '../../src/epochs.js'
import type { HeldMessages } from '../../src/held-messages.js'
import type { Shared } from '../../src/shared.js'
import type { SharedConnection } from '../../src/shared-connection.js'

/** What of the sources is simulated: the package's own, or a copy of them that has been changed. */
export interface Sources {
  readonly AmqpConsumerDriver: new (shared: Shared, spec: ConsumerSpec, sink: ConsumerSink) => ConsumerDriver
  readonly AmqpConnection: new (native: ChannelModel, callTimeoutMs: number) => AmqpConnection
  readonly SharedConnection: new (open: () => Promise<AmqpConnection>) => SharedConnection
  readonly HeldMessages: new () => HeldMessages
  readonly Epochs: new () => Epochs
}

/** @param folder - where the sources are, as an absolute path or relative to this file. */
export async function loadSources(folder: string): Promise<Sources> {
  const [{ AmqpConsumerDriver }, { AmqpConnection }, { SharedConnection }, { HeldMessages }, { Epochs }] =
    await Promise.all([
      import(/* @vite-ignore */ `${folder}/consumer.ts`),
      import(/* @vite-ignore */ `${folder}/connection.ts`),
      import(/* @vite-ignore */ `${folder}/shared-connection.ts`),
      import(/* @vite-ignore */ `${folder}/held-messages.ts`),
      import(/* @vite-ignore */ `${folder}/epochs.ts`),
    ])
  return { AmqpConsumerDriver, AmqpConnection, SharedConnection, HeldMessages, Epochs }
}
