import { expect, it } from 'vitest'
import { Recent } from '../src/server/recent.js'

it('remembers the latest entries, at least as many as asked for and at most twice as many', () => {
  const recent = new Recent<number>(100)
  for (let index = 0; index < 1_050; index += 1) recent.set(`id-${index}`, index)
  const kept = Array.from({ length: 1_050 }, (_, index) => recent.get(`id-${index}`)).filter(
    (value) => value !== undefined,
  )
  expect(kept).toEqual(Array.from({ length: 150 }, (_, index) => 900 + index))
  recent.delete('id-1049')
  recent.delete('id-950')
  expect([recent.get('id-1049'), recent.get('id-950'), recent.get('id-1048')]).toEqual([undefined, undefined, 1048])
})
