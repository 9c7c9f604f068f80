/** What RFC 3986, section 2.3, allows to stand in a path as itself: escaped or not, it is the same path. */
const UNRESERVED = /^[\w.~-]$/

/**
 * A request target (RFC 9112, section 3.2) as the path and query that routes are looked up by: the absolute form that proxies use loses scheme and
 * authority, and needless escapes are undone (RFC 9110, section 4.2.3). Slashes stay as they are: `//orders` and `/orders/` are other
 * resources than `/orders`. Never throws: a target may be any text.
 */
export function normalTarget(target: string): string {
  const origin = /^https?:\/\/[^/?#]*(.*)$/is.exec(target)?.[1] ?? target
  const mark = origin.indexOf('?')
  const path = mark < 0 ? origin : origin.slice(0, mark)
  const normal = path.includes('%') ? path.replace(/%[\da-f]{2}/gi, unescaped) : path
  return `${normal === '' ? '/' : normal}${mark < 0 ? '' : origin.slice(mark)}`
}

function unescaped(encoded: string): string {
  const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16))
  return UNRESERVED.test(character) ? character : encoded.toUpperCase()
}

/** The path with single slashes between its segments and none at the end. */
export function withoutEmptySegments(path: string): string {
  return `/${path
    .split('/')
    .filter((segment) => segment !== '')
    .join('/')}`
}
