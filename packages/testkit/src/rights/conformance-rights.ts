import { expect } from 'vitest'
import type { ConformanceSettings, ForeignClient } from '../conformance/settings.js'
import type { ConnectionSource } from './connections.js'
import { clientIdOf, ProductConnections } from './product-connections.js'

/** Name of the variable under which {@link TestedRights} reach the process that runs a suite, as JSON. */
export const TESTED_RIGHTS_VARIABLE = 'STREAMSWITCH_TEST_RIGHTS'

/** The rights under which a suite runs, as plain data. */
export interface TestedRights {
  readonly prefix: string
  /** The user of every connection, and the address with it. */
  readonly minimal: LimitedUser
  /** Cases that need one right more. */
  readonly more: readonly MoreRights[]
  readonly connections: ConnectionSource
}

/** A user with limited rights. */
export interface LimitedUser {
  readonly user: string
  readonly url: string
}

/** Cases that can't do with the minimal rights, and what they need besides. */
export interface MoreRights extends LimitedUser {
  /** A part of the title of a case or of the groups around it, joined by ' > '. */
  readonly cases: string
  readonly right: string
}

/** The rights that this process is to run a suite under; `undefined` where it is to run as ever. */
export function testedRights(environment: NodeJS.ProcessEnv = process.env): TestedRights | undefined {
  const text = environment[TESTED_RIGHTS_VARIABLE]
  return text === undefined ? undefined : (JSON.parse(text) as TestedRights)
}

/**
 * The suite under limited rights: what the product opens logs in as the limited user and uses names below the prefix; the address and the foreign
 * client that were given are the harness's. After each case the broker is asked as whom the product's connections logged in.
 */
export function underRights(settings: ConformanceSettings, rights: TestedRights): ConformanceSettings {
  const { prefix } = rights
  const users = [rights.minimal, ...rights.more].map(({ user }) => user)
  const connections = new ProductConnections(rights.connections, users)
  const { openOptions = {}, foreign } = settings
  return {
    ...settings,
    url: () => userOf(rights).url,
    async openOptions(topology) {
      const given = typeof openOptions === 'function' ? await openOptions(topology) : openOptions
      return { ...given, options: { ...given.options, prefix, clientId: clientIdOf(userOf(rights).user) } }
    },
    harness: {
      url: settings.url,
      checkConnections: () => connections.check(),
      checkAnyConnection: () => connections.checkAny(),
    },
    ...(foreign === undefined ? {} : { foreign: below(prefix, foreign) }),
  }
}

/** The user of the case that runs. */
function userOf({ minimal, more }: TestedRights): LimitedUser {
  const title = expect.getState().currentTestName ?? ''
  return more.find(({ cases }) => title.includes(cases)) ?? minimal
}

/** The client with the names that topics have on the broker. */
function below(prefix: string, foreign: ForeignClient): ForeignClient {
  const { prepareRead } = foreign
  return {
    ...foreign,
    write: (topic, record, group) => foreign.write(`${prefix}${topic}`, record, group),
    ...(prepareRead === undefined
      ? {}
      : { prepareRead: (topic, topology) => prepareRead.call(foreign, `${prefix}${topic}`, topology) }),
    read: (topic, count) => foreign.read(`${prefix}${topic}`, count),
  }
}
