import { openTransport } from '@streamswitch/core'

/** The topics that exist in this process, whatever their prefix. */
export async function memoryTopics(): Promise<string[]> {
  await using transport = await openTransport('memory://')
  const topics = await transport.admin.topics()
  return topics.map(({ topic }) => topic).toSorted()
}
