import type { MakeCreateTopicsRequest } from './kafkajs-internals.js'
import type { RequestHook } from './request-hooks.js'

export const CREATE_TOPICS = 19

/** Keeps the broker's own message on why a topic was not created: kafkajs reads and discards it. */
export const topicRefusals: RequestHook = (make) => (parameters) => {
  const made = (make as MakeCreateTopicsRequest)(parameters)
  const { response } = made
  const parse: typeof response.parse = async (data) => {
    try {
      return await response.parse(data)
    } catch (error) {
      const reasons = data.topicErrors
        .filter(({ errorCode }) => errorCode !== 0)
        .map(({ errorMessage }) => errorMessage)
      for (const [index, one] of ((error as { errors?: Error[] }).errors ?? []).entries())
        one.message = reasons[index] ?? one.message
      throw error
    }
  }
  return { ...made, response: { ...response, parse } }
}
