/** Three blocks that inputs reach one after the other. */
export function branches(value: number): string {
  if (value < 10) return 'low'
  let name = 'high'
  if (value > 100) name += 'er'
  return name
}
