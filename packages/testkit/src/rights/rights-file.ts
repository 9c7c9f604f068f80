/** What the placeholders of a file of rights stand for. */
export interface RightsParameters {
  /** `@NAME@`: what the names of users begin with. */
  readonly name: string
  /** `@PREFIX@`: the transport's `prefix`. */
  readonly prefix: string
  /** `@PASSWORD@`: of all users. */
  readonly password: string
  /** `@TOPIC@`, without prefix. Default: none, for roles that name no topic. */
  readonly topic?: string
  /** `@GROUP@`, without prefix. Default: none, for roles that name no group. */
  readonly group?: string
  /** `@KEY@`: a routing key of an existing exchange, which is the topic (`@EXCHANGE@`, where its name is no regular expression). */
  readonly key?: string
}

const PLACEHOLDER = /@([A-Z]+)@/g

/**
 * The text of a file of rights with its placeholders filled in. `write` says how a name is written there, where some characters have a
 * meaning. Throws for a placeholder that is unknown.
 */
export function fillRights(
  text: string,
  parameters: RightsParameters,
  write: (value: string) => string = (value) => value,
): string {
  const values: Readonly<Record<string, string | undefined>> = {
    NAME: parameters.name,
    PREFIX: write(parameters.prefix),
    PASSWORD: parameters.password,
    TOPIC: write(parameters.topic ?? 'no-topic'),
    EXCHANGE: parameters.topic ?? 'no-topic',
    KEY: write(parameters.key ?? 'no-key'),
    GROUP: write(parameters.group ?? 'no-group'),
  }
  return text.replaceAll(PLACEHOLDER, (found, name: string) => {
    const value = values[name]
    if (value === undefined) throw new Error(`unknown placeholder ${found}`)
    return value
  })
}
