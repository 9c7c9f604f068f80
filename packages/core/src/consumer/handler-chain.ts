import type { Handler } from '../message.js'

/** Wraps the handling of messages: receives the next function and returns the one to call instead. */
export type HandlerStage = (next: Handler) => Handler

/**
 * Returns the function that the dispatcher calls for a message: the stages around the user's handler, the first one
 * outermost. Without stages it is the handler itself, so that unused features cost nothing.
 */
export function chainHandler(stages: readonly HandlerStage[], handler: Handler): Handler {
  return stages.reduceRight((next, stage) => stage(next), handler)
}
