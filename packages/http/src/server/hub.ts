import type { HttpDestination } from './authorization.js'
import { GroupInbox, type GroupMember } from './group-inbox.js'

/** Where a path leads: one group of a topic, or all that the topic has here. */
export interface Destination {
  readonly topic: string
  /** `undefined`: all groups. */
  readonly group: string | undefined
  readonly inboxes: readonly GroupInbox[]
}

/** A loop by pattern: it joins topics that a sender names. */
export interface TopicFinder {
  readonly group: string
  /** Below which its topics stand, without a slash at the end. */
  readonly basePath: string
  /** See `GroupMember`. */
  readonly takesBrowsers: boolean
  /** What a topic and its group are called by the loop; `undefined` where it doesn't take the topic. */
  destination(brokerTopic: string): HttpDestination | undefined
  /** `undefined` where it doesn't take the topic, or has it already; else resolves when it has joined. */
  find(brokerTopic: string): Promise<void> | undefined
}

/** The loops that share one listening address, by path: `/base/topic` and `/base/topic/group`. */
export class Hub {
  readonly #topics = new Map<string, Map<string, GroupInbox>>()
  readonly #finders = new Set<TopicFinder>()

  /** Adds a loop to a group. Returns what takes it out again. */
  join(topicPath: string, group: string, member: GroupMember): () => void {
    const topic = topicPath.slice(topicPath.lastIndexOf('/') + 1)
    let groups = this.#topics.get(topicPath)
    if (groups === undefined) {
      groups = new Map()
      this.#topics.set(topicPath, groups)
    }
    let inbox = groups.get(group)
    if (inbox === undefined) {
      inbox = new GroupInbox(topic, group)
      groups.set(group, inbox)
    }
    const joined = inbox
    const of = groups
    joined.add(member)
    return () => {
      joined.remove(member)
      if (joined.members.length > 0) return
      if (of.get(group) === joined) of.delete(group)
      if (of.size === 0 && this.#topics.get(topicPath) === of) this.#topics.delete(topicPath)
    }
  }

  /** Adds a loop by pattern. Returns what takes it out again. */
  search(finder: TopicFinder): () => void {
    this.#finders.add(finder)
    return () => this.#finders.delete(finder)
  }

  /** The loops of a group of a topic, where there are any. */
  inbox(topicPath: string, group: string): GroupInbox | undefined {
    return this.#topics.get(topicPath)?.get(group)
  }

  /** Has loops by pattern join the topic that a path names. `undefined` where there is none to wait for. */
  discover(path: string): Promise<unknown> | undefined {
    if (this.#finders.size === 0) return undefined
    const joining = [...this.#finders].map((finder) => this.#ask(finder, path)).filter((one) => one !== undefined)
    return joining.length === 0 ? undefined : Promise.all(joining)
  }

  /** Whether every loop at a path takes requests that browsers send for any page; false where there is none. */
  takesBrowsers(path: string): boolean {
    const members = this.#membersAt(path)
    const finders = this.#findersOf(path).filter(({ finder, topic }) => finder.destination(topic) !== undefined)
    if (members.length + finders.length === 0) return false
    return members.every((member) => member.takesBrowsers) && finders.every(({ finder }) => finder.takesBrowsers)
  }

  /**
   * Returns the groups that a request for a path would reach, by the names that their loops use; those by pattern that
   * would join its topic too.
   */
  destinationsAt(path: string): readonly HttpDestination[] {
    const joined = this.#membersAt(path).map((member) => member.destination)
    const found = this.#findersOf(path).map(({ finder, topic }) => finder.destination(topic))
    const byName = new Map<string, HttpDestination>()
    for (const one of [...joined, ...found]) if (one !== undefined) byName.set(`${one.topic}/${one.group}`, one)
    return [...byName.values()]
  }

  #membersAt(path: string): readonly GroupMember[] {
    return (this.find(path)?.inboxes ?? []).flatMap((inbox) => inbox.members)
  }

  #findersOf(path: string): readonly { readonly finder: TopicFinder; readonly topic: string }[] {
    if (this.#finders.size === 0) return []
    return [...this.#finders].flatMap((finder) => {
      const topic = this.#newTopic(finder, path)
      return topic === undefined ? [] : [{ finder, topic }]
    })
  }

  #ask(finder: TopicFinder, path: string): Promise<void> | undefined {
    const topic = this.#newTopic(finder, path)
    return topic === undefined ? undefined : finder.find(topic)
  }

  /** The topic that a path names below a loop by pattern, unless it has joined it. */
  #newTopic(finder: TopicFinder, path: string): string | undefined {
    if (!path.startsWith(`${finder.basePath}/`)) return undefined
    const [topic = '', group, ...more] = path.slice(finder.basePath.length + 1).split('/')
    if (more.length > 0 || (group !== undefined && group !== finder.group)) return undefined
    if (this.#topics.get(`${finder.basePath}/${topic}`)?.has(finder.group) === true) return undefined
    return topic
  }

  /**
   * Resolves a path; `undefined` when it can't be one of a topic or group. No `inboxes`: there is no consumer for it
   * here.
   */
  find(path: string): Destination | undefined {
    const groups = this.#topics.get(path)
    const segments = path.split('/').filter((segment) => segment !== '')
    const last = segments.at(-1)
    if (last === undefined) return undefined
    if (groups !== undefined) return { topic: last, group: undefined, inboxes: [...groups.values()] }
    const parent = this.#topics.get(path.slice(0, path.lastIndexOf('/')))
    const inbox = parent?.get(last)
    if (inbox !== undefined) return { topic: inbox.topic, group: last, inboxes: [inbox] }
    return segments.length === 1
      ? { topic: last, group: undefined, inboxes: [] }
      : { topic: segments.at(-2) ?? last, group: last, inboxes: [] }
  }

  /** Every path of a group, `/base/topic/group`. */
  paths(): string[] {
    return [...this.#topics].flatMap(([topicPath, groups]) =>
      [...groups.keys()].map((group) => `${topicPath}/${group}`),
    )
  }

  /** Every loop takes messages. */
  get ready(): boolean {
    return [...this.#topics.values()].every((groups) =>
      [...groups.values()].every((inbox) => inbox.members.some((member) => member.open)),
    )
  }
}
