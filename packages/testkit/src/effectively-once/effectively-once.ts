import { describe, expect, test } from 'vitest'
import { uniqueName } from '../conformance/names.js'
import type { Worker } from '../faults/worker.js'
import { Scenario } from './scenario.js'
import type { EffectivelyOnceSettings } from './settings.js'

/** Number of messages that the resenders send repeatedly, and of the other producers. */
const RESENT = 60
const FIRST = 300
const LATER = 150

/**
 * Declares the effectively-once scenario for one adapter, with real processes and an SQLite file: call it at the top
 * level of a vitest file. Producers keep resending the same messages, processes are killed while working until none is
 * left, others take over; in the end every message has had its effect once per group, and nothing is left to settle.
 */
export function effectivelyOnce(settings: EffectivelyOnceSettings): void {
  const timeout = 8 * (settings.stepMs ?? 60_000)
  describe(`${settings.name}: effectively once`, () => {
    test('every message has its effect once per group, whoever is killed', { timeout }, () => play(settings))
    test('without dedupe the same resends have effects of their own', { timeout }, () => control(settings))
  })
}

async function play(settings: EffectivelyOnceSettings): Promise<void> {
  await using scenario = await Scenario.open(settings)
  const group = uniqueName('group')
  const rows = (worker: string): number => scenario.effects.effects(group, worker).length
  const [one, two, three] = await inGroup(scenario, ['consumer-1', 'consumer-2', 'consumer-3'], group)
  const resender = { ids: 'resent', count: RESENT, repeats: true, pauseMs: 5 }
  const resenders = await Promise.all(['resender-1', 'resender-2'].map((name) => scenario.producer(name, resender)))
  await scenario.producer('producer-1', { count: FIRST, pauseMs: 8 })

  await scenario.until(() => rows('consumer-1') > 5, 'work at consumer 1')
  await scenario.killAtWork(one)
  await scenario.until(() => scenario.calls('resent/') > 4 * RESENT, 'every first message sent several times')
  await Promise.all(resenders.map((worker) => worker.kill()))
  await one.start()
  await one.ready()
  await scenario.until(() => scenario.effects.effects(group).length > RESENT, 'the group goes on')
  await Promise.all([one.kill(), three.kill(), stopped(two)])

  const late = await scenario.producer('producer-2', { count: LATER })
  expect(await late.ended(60_000)).toMatchObject({ code: 0 })
  const [four] = await inGroup(scenario, ['consumer-4'], group)
  await scenario.until(() => rows('consumer-4') > 5, 'consumer 4 takes over')
  await scenario.killAtWork(four)
  await four.start()
  await four.ready()
  await expectOnce(scenario, group)
  expect(scenario.effects.refused(group), 'messages came again and were recognised').toBeGreaterThan(RESENT)
  await stopped(four)

  if (settings.replay === false) return
  const replaying = uniqueName('group')
  const [five] = await inGroup(scenario, ['consumer-5'], replaying)
  await expectOnce(scenario, replaying)
  await stopped(five)
}

/** Returns what the scenario would find without deduplication. */
async function control(settings: EffectivelyOnceSettings): Promise<void> {
  await using scenario = await Scenario.open(settings)
  const group = uniqueName('group')
  const consumer = await scenario.consumer('consumer-1', group, false)
  await consumer.ready()
  await scenario.producer('resender-1', { ids: 'resent', count: 10, repeats: true, pauseMs: 5 })
  const effects = (): readonly string[] => scenario.effects.effects(group).map(({ id }) => id)
  await scenario.until(() => effects().length > 20, 'effects of resends')
  expect(effects().length).toBeGreaterThan(new Set(effects()).size)
}

async function expectOnce(scenario: Scenario, group: string): Promise<void> {
  await scenario.handledAll(group)
  await scenario.settledAll(group)
  const ids = scenario.effects.effects(group).map((effect) => effect.id)
  const twice = ids.filter((id, index) => ids.indexOf(id) !== index)
  expect(twice, 'had their effect twice').toEqual([])
  expect(ids).toEqual(expect.arrayContaining([...scenario.confirmed]))
  expect(ids.length).toBeGreaterThanOrEqual(RESENT + LATER)
}

type Several<Names extends readonly string[]> = { readonly [Index in keyof Names]: Worker }

/** Consumers that have joined their group. */
async function inGroup<const Names extends readonly string[]>(
  scenario: Scenario,
  names: Names,
  group: string,
): Promise<Several<Names>> {
  const workers = await Promise.all(names.map((name) => scenario.consumer(name, group)))
  await Promise.all(workers.map((worker) => worker.ready()))
  return workers as Several<Names>
}

async function stopped(worker: Worker): Promise<void> {
  worker.terminate()
  expect(await worker.ended(30_000)).toMatchObject({ code: 0 })
}
