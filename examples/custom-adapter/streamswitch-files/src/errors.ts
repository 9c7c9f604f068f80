import { type ErrorCode, StreamError, toStreamError } from '@streamswitch/core/driver'

/** Meaning of file system errors, by `code`, and what to do about them. */
export const FILE_ERRORS: Readonly<Record<string, { readonly code: ErrorCode; readonly advice: string }>> = {
  ENOENT: { code: 'UNAVAILABLE', advice: 'a file or folder is missing' },
  ENOTDIR: { code: 'UNAVAILABLE', advice: 'a part of the path is no folder' },
  EIO: { code: 'UNAVAILABLE', advice: 'the disk fails' },
  ESTALE: { code: 'UNAVAILABLE', advice: 'the network file system lost the file' },
  EBUSY: { code: 'UNAVAILABLE', advice: 'the file is in use' },
  EAGAIN: { code: 'UNAVAILABLE', advice: 'the file is in use' },
  ETIMEDOUT: { code: 'TIMEOUT', advice: 'the network file system does not answer' },
  ENOSPC: { code: 'RESOURCE_EXHAUSTED', advice: 'the disk is full' },
  EDQUOT: { code: 'RESOURCE_EXHAUSTED', advice: 'the quota of this user is used up' },
  EMFILE: { code: 'RESOURCE_EXHAUSTED', advice: 'this process has too many open files: raise its limit (ulimit -n)' },
  ENFILE: { code: 'RESOURCE_EXHAUSTED', advice: 'the machine has too many open files' },
  EACCES: { code: 'PERMISSION_DENIED', advice: 'this user needs to read and write the folder and all that is in it' },
  EPERM: { code: 'PERMISSION_DENIED', advice: 'this user needs to own the folder and all that is in it' },
  EROFS: { code: 'PERMISSION_DENIED', advice: 'the file system is read-only' },
  ENAMETOOLONG: { code: 'INVALID_ARGUMENT', advice: 'the name of topic or group, with its prefix, is too long' },
}

/** Returns whether an error is the file system's with one of these codes. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(error.code as string)
}

/** Converts any thrown value to a {@link StreamError}. One that isn't in the table is UNKNOWN, with its cause. */
export function classifyError(native: unknown, operation: string, topic?: string): StreamError {
  const place = { transport: 'files', operation, topic, cause: native }
  if (native instanceof Error && 'code' in native && !(native instanceof StreamError)) {
    const known = FILE_ERRORS[String(native.code)]
    if (known !== undefined)
      return new StreamError(`${known.advice} (${native.message})`, { ...place, code: known.code })
  }
  return toStreamError(native, { ...place, code: 'UNKNOWN' })
}

/** The partition belongs to another member. */
export function lostPartition(topic: string, partition: number): StreamError {
  return new StreamError(`partition ${partition} of '${topic}' now belongs to another member`, {
    code: 'ABORTED',
    transport: 'files',
    operation: 'ack',
    topic,
  })
}
