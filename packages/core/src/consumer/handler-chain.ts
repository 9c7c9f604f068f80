import type { Handler } from '../message.js'

/** Wraps the handling of messages: gets what comes after it and returns what is called in its place. */
export type HandlerStage = (next: Handler) => Handler

/**
 * The function that the dispatcher calls for a message: the stages around the user's handler, the first one outermost. Without
 * stages it is the handler itself, so that what isn't used costs nothing.
 */
export function chainHandler(stages: readonly HandlerStage[], handler: Handler): Handler {
  return stages.reduceRight((next, stage) => stage(next), handler)
}
