// The process of a caller that is to be killed: it asks, and says when it has the first part of every reply. Told by its environment.
import { type AdapterDefinition, Transport } from '@streamswitch/core'
import { CALLER_VARIABLE, type CallerSpec } from './caller-spec.js'

const spec = JSON.parse(process.env[CALLER_VARIABLE] ?? '') as CallerSpec
const { default: adapter } = (await import(spec.adapter)) as { readonly default: AdapterDefinition }
const producer = new Transport(adapter, spec.url, { environment: {}, options: spec.options }).producer(spec.topic)
const replies = Array.from({ length: spec.requests }, (_, number) => producer.request(number, { timeoutMs: 600_000 }))
await Promise.all(replies.map((reply) => reply.read()))
process.send?.('answered')
