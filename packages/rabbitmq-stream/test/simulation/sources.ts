import type { ConnectionGone, ServerError } from '../../src/client-patches/server-error.js'
import type { GroupMembership, MembershipSettings } from '../../src/group-membership.js'

/** What of the sources is simulated: the package's own, or a copy of them that has been changed. */
export interface Sources {
  readonly GroupMembership: new (settings: MembershipSettings) => GroupMembership
  readonly ServerError: typeof ServerError
  readonly ConnectionGone: typeof ConnectionGone
}

/** @param folder - where the sources are, as an absolute path or relative to this file. */
export async function loadSources(folder: string): Promise<Sources> {
  const { GroupMembership } = await import(/* @vite-ignore */ `${folder}/group-membership.ts`)
  const { ServerError, ConnectionGone } = await import(/* @vite-ignore */ `${folder}/client-patches/server-error.ts`)
  return { GroupMembership, ServerError, ConnectionGone }
}
