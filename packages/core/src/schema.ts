import type { StandardSchemaV1 } from '@standard-schema/spec'
import { StreamError } from './errors.js'

/** Any Standard Schema validator: zod, valibot, arktype and others. */
export type Schema<T = unknown> = StandardSchemaV1<unknown, T>

/** Checks the `schema` option; returns what it must be when it is invalid. */
export function checkSchema(raw: unknown): { readonly value: Schema } | string {
  // A validator may be a function with properties (arktype).
  const candidate =
    (typeof raw === 'object' && raw !== null) || typeof raw === 'function' ? (raw as Partial<Schema>) : undefined
  if (typeof candidate?.['~standard']?.validate === 'function') return { value: candidate as Schema }
  return 'must be a Standard Schema validator (zod, valibot, arktype, …)'
}

/**
 * Validates a value and returns the validator's output: synchronously if the validator is synchronous, else a promise.
 * Throws or rejects with SERIALIZATION, naming the path of each issue but not the value.
 */
export function validate(schema: Schema, value: unknown, topic: string, operation: 'encode' | 'decode'): unknown {
  const result = schema['~standard'].validate(value)
  if (result instanceof Promise) return result.then((settled) => unwrap(settled, topic, operation))
  return unwrap(result, topic, operation)
}

function unwrap(result: StandardSchemaV1.Result<unknown>, topic: string, operation: string): unknown {
  if (result.issues === undefined) return result.value
  const list = result.issues.map((issue) => `${pathOf(issue)}${issue.message}`).join('; ')
  throw new StreamError(`a value of topic '${topic}' doesn't match its schema: ${list}`, {
    code: 'SERIALIZATION',
    operation,
    topic,
  })
}

function pathOf(issue: StandardSchemaV1.Issue): string {
  if (issue.path === undefined || issue.path.length === 0) return ''
  return `${issue.path.map((part) => String(typeof part === 'object' ? part.key : part)).join('.')}: `
}
