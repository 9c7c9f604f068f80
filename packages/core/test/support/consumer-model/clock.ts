import { vi } from 'vitest'

const pending = new Set<NodeJS.Timeout>()
/** By how much the clock is ahead of the timers: for so long the event loop was blocked. */
let blockedMs = 0

/** Takes the time over, for all of core: see `src/time.ts`. Remembers which timers are set. */
export function useModelClock(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'] })
  const { setTimeout: once, setInterval: always, clearTimeout: clear } = globalThis
  const now = performance.now.bind(performance)
  performance.now = () => now() + blockedMs
  const setOnce = (action: () => void, ms?: number): NodeJS.Timeout => {
    const timer = once(() => {
      pending.delete(timer)
      action()
    }, ms)
    pending.add(timer)
    return timer
  }
  const setAlways = (action: () => void, ms?: number): NodeJS.Timeout => {
    const timer = always(action, ms)
    pending.add(timer)
    return timer
  }
  const unset = (timer: NodeJS.Timeout): void => {
    pending.delete(timer)
    clear(timer)
  }
  Object.assign(globalThis, {
    setTimeout: setOnce,
    setInterval: setAlways,
    clearTimeout: unset,
    clearInterval: unset,
  })
}

/** Time passes without a turn for anybody. */
export function blockEventLoop(ms: number): void {
  blockedMs += ms
}

/** A new history, or a new process: nothing of the one before is left. */
export function resetModelClock(): void {
  pending.clear()
  vi.clearAllTimers()
}

/** Timers that would keep a process alive. */
export function timersThatHold(): number {
  return [...pending].filter((timer) => timer.hasRef()).length
}
