/** A consumer in a group, as the coordinator knows it. */
export interface GroupConsumer {
  readonly stream: string
  readonly group: string
  active: boolean
}

/** What the coordinator has a consumer's connection tell its client. */
export interface Notice<Consumer extends GroupConsumer> {
  readonly consumer: Consumer
  readonly active: boolean
}

interface Group<Consumer> {
  /** -1 for a stream that is no partition of a super stream. */
  readonly partitionIndex: number
  readonly consumers: Consumer[]
}

/**
 * RabbitMQ 4.0's single active consumers: who of a group's consumers is the active one. In a plain stream it stays the same until it is
 * gone. In partition `p` of a super stream it is number `p` modulo the number of consumers, in the order of joining: the former one is told
 * to step down first, and nobody is activated until its connection has answered for it. What is told to a connection that is ending is lost: then
 * nobody is activated any more, until the group is empty and forgotten.
 */
export class ScriptedCoordinator<Consumer extends GroupConsumer> {
  readonly #groups = new Map<string, Group<Consumer>>()

  register(consumer: Consumer, partitionIndex: number): Notice<Consumer>[] {
    const { stream, group } = consumer
    const key = `${stream} ${group}`
    const found: Group<Consumer> = this.#groups.get(key) ?? { partitionIndex, consumers: [] }
    this.#groups.set(key, found)
    found.consumers.push(consumer)
    if (found.consumers.length === 1) return activate(consumer)
    if (found.partitionIndex === -1) return found.consumers.some(({ active }) => active) ? [] : activate(consumer)
    return rebalance(found)
  }

  unregister(consumer: Consumer): Notice<Consumer>[] {
    const found = this.#find(consumer)
    const index = found?.consumers.indexOf(consumer) ?? -1
    if (found === undefined || index < 0) return []
    found.consumers.splice(index, 1)
    if (found.consumers.length === 0) {
      this.#groups.delete(`${consumer.stream} ${consumer.group}`)
      return []
    }
    if (found.partitionIndex !== -1 && found.consumers.some(({ active }) => active)) return rebalance(found)
    // Without an active one, the answer of a former one is waited for, whoever else goes.
    return consumer.active ? activate(wanted(found)) : []
  }

  /** A former active consumer has answered that it has stepped down. */
  steppedDown(stream: string, group: string): Notice<Consumer>[] {
    const found = this.#groups.get(`${stream} ${group}`)
    return found === undefined ? [] : activate(wanted(found))
  }

  #find({ stream, group }: GroupConsumer): Group<Consumer> | undefined {
    return this.#groups.get(`${stream} ${group}`)
  }
}

function wanted<Consumer extends GroupConsumer>({ partitionIndex, consumers }: Group<Consumer>): Consumer {
  return consumers[partitionIndex === -1 ? 0 : partitionIndex % consumers.length] as Consumer
}

function rebalance<Consumer extends GroupConsumer>(group: Group<Consumer>): Notice<Consumer>[] {
  const former = group.consumers.find(({ active }) => active)
  if (former === undefined || wanted(group) === former) return []
  former.active = false
  return [{ consumer: former, active: false }]
}

function activate<Consumer extends GroupConsumer>(consumer: Consumer): Notice<Consumer>[] {
  consumer.active = true
  return [{ consumer, active: true }]
}
