import type { GroupNames, OutgoingRecord, TransportContext } from '@streamswitch/core/driver'
import { invalidEndpoint, routeWithoutGroup } from '../errors.js'
import { type Endpoint, isHttpUrl } from '../option-checks.js'
import type { HttpOptionValues, HttpProducerOptionValues } from '../options.js'
import type { HttpClient } from './http-client.js'
import { hashText, rendezvous } from './rendezvous.js'
import type { Subscriber } from './subscriber.js'

/** One group, with the replicas that share its messages. */
export class Target {
  /** The group's name; for a base URL, which hands a topic to all the groups it has, `*`. */
  readonly name: string
  readonly #replicas: readonly Subscriber[]
  #turn = 0

  constructor(name: string, replicas: readonly Subscriber[]) {
    this.name = name
    this.#replicas = replicas
  }

  /**
   * The replica for a record: by its key, so that a key stays with one replica, else in turn. Replicas that couldn't be reached
   * a moment ago are passed over while there are others.
   */
  choose(record: OutgoingRecord): Subscriber {
    const [only] = this.#replicas
    if (only !== undefined && this.#replicas.length === 1) return only
    const reachable = this.#replicas.filter((replica) => !replica.avoided)
    const candidates = reachable.length > 0 ? reachable : this.#replicas
    this.#turn += 1
    const chosen =
      record.key === undefined
        ? candidates[this.#turn % candidates.length]
        : rendezvous(hashText(record.key), candidates)
    return chosen as Subscriber
  }

  /** Whether a record that one replica didn't take may find another at once. */
  get hasAlternative(): boolean {
    return this.#replicas.some((replica) => !replica.avoided)
  }
}

export interface TopicNames {
  readonly topic: string
  readonly brokerTopic: string
  readonly prefix: string
  readonly nativeGroups: TransportContext['nativeGroups']
  /** The one group that is to get it. */
  readonly onlyGroup: GroupNames | undefined
}

/**
 * The groups that get a topic: the producer's own endpoint, else its routes and endpoints, else whatever groups the base URL has.
 * Throws INVALID_ARGUMENT for an endpoint that is no URL, NOT_FOUND for a route without a group.
 */
export function targetsOf(
  names: TopicNames,
  options: HttpOptionValues,
  own: HttpProducerOptionValues,
  client: HttpClient,
): Target[] {
  if (own.endpoint !== undefined) {
    if (!isHttpUrl(own.endpoint)) throw invalidEndpoint(names.topic)
    return [
      endpointTarget({ url: own.endpoint, method: own.method, contentType: own.contentType, token: undefined }, client),
    ]
  }
  if (names.onlyGroup !== undefined) return [groupTarget(names, names.onlyGroup, options, client)]
  const route = options.routes[names.topic]
  if (route !== undefined && Object.keys(route).length === 0) throw routeWithoutGroup(names.topic)
  const routes = Object.entries(route ?? {}).map(([group, urls]) => {
    const replicas = [...new Set(urls)].map((url) =>
      subscriberAt(`${url}/${names.brokerTopic}/${names.nativeGroups[group]?.name ?? names.prefix + group}`, client),
    )
    return new Target(group, replicas)
  })
  const endpoints = (options.endpoints[names.topic] ?? []).map((endpoint) => endpointTarget(endpoint, client))
  if (routes.length + endpoints.length > 0) return [...routes, ...endpoints]
  const bases = (options.baseUrls ?? []).map((url) => subscriberAt(`${url}/${names.brokerTopic}`, client))
  return [new Target('*', bases)]
}

/** A group by its own path, where its replicas are: a server that doesn't know its senders ignores the header that names it. */
function groupTarget(
  { topic, brokerTopic }: TopicNames,
  { group, brokerGroup }: GroupNames,
  { routes, baseUrls = [] }: HttpOptionValues,
  client: HttpClient,
): Target {
  const urls = routes[topic]?.[group] ?? baseUrls
  const replicas = [...new Set(urls)].map((url) => subscriberAt(`${url}/${brokerTopic}/${brokerGroup}`, client))
  return new Target(group, replicas)
}

function subscriberAt(url: string, client: HttpClient): Subscriber {
  return client.subscriber({ url, method: 'POST', batches: true, contentType: undefined })
}

function endpointTarget({ url, method, contentType, token }: Endpoint, client: HttpClient): Target {
  return new Target(`endpoint ${url}`, [client.subscriber({ url, method, contentType, batches: false }, token)])
}
