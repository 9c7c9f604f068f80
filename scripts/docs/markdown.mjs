/**
 * A table, one line per row.
 *
 * @param {readonly string[]} head
 * @param {readonly (readonly string[])[]} rows
 */
export function table(head, rows) {
  const line = (/** @type {readonly string[]} */ cells) =>
    `|${cells.map((cell) => (cell === '' ? ' ' : ` ${cell.replaceAll('|', '\\|')} `)).join('|')}|`
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n')
}

/** @param {string} text */
export function code(text) {
  return text.includes('`') ? `\`\` ${text} \`\`` : `\`${text}\``
}

/**
 * Text whose angle brackets are meant as such; what stands between backticks stays as it is.
 *
 * @param {string} text
 */
export function prose(text) {
  return text
    .split(/(`[^`]*`)/)
    .map((part) => (part.startsWith('`') ? part : part.replaceAll('<', '&lt;')))
    .join('')
}

/**
 * Puts generated text between a page's markers `<!-- name:begin -->` and `<!-- name:end -->`. A page without them gets
 * them at its end, below `heading` unless it has a heading of that text.
 *
 * @param {string} page
 * @param {string} name
 * @param {string} generated
 * @param {string} [heading] With its number signs: `## Options`.
 */
export function withPart(page, name, generated, heading) {
  const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`]
  const part = `${begin}\n${generated}\n${end}`
  const [from, to] = [page.indexOf(begin), page.indexOf(end)]
  if (from !== -1 && to > from) return `${page.slice(0, from)}${part}${page.slice(to + end.length)}`
  if (from !== -1 || to !== -1) throw new Error(`there must be one '${begin}' and, after it, one '${end}'`)
  const hasHeading = heading === undefined || page.split('\n').includes(heading)
  return `${page.trimEnd()}\n\n${hasHeading ? '' : `${heading}\n\n`}${part}\n`
}

/**
 * The text of a page's first heading.
 *
 * @param {string} page
 */
export function titleOf(page) {
  return /^# (.+)$/m.exec(page)?.[1]
}

/**
 * The problem of something whose documentation can't be made.
 *
 * @param {string} place
 * @param {string} what
 */
export function undocumented(place, what) {
  return `${place}: the ${what} has no JSDoc comment: its documentation is made from it`
}
