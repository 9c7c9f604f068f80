/** The Castagnoli polynomial, reflected, used by the checksum of Kafka's record batches (RFC 3720, B.4). */
const POLYNOMIAL = 0x82f63b78

/** Eight tables of 256: table `n` holds the remainders of a byte that is followed by `n` others. */
const TABLES = makeTables()

/** The CRC-32C of a buffer's bytes from `start` on, unsigned. Eight bytes per step: several times as fast as byte by byte. */
export function crc32c(buffer: Buffer, start = 0): number {
  const tables = TABLES
  const end = buffer.length
  let crc = -1
  let at = start
  for (const whole = end - ((end - start) & 7); at < whole; at += 8) {
    const low = crc ^ word(buffer, at)
    const high = word(buffer, at + 4)
    crc =
      at8(tables, 1792 + (low & 0xff)) ^
      at8(tables, 1536 + ((low >>> 8) & 0xff)) ^
      at8(tables, 1280 + ((low >>> 16) & 0xff)) ^
      at8(tables, 1024 + (low >>> 24)) ^
      at8(tables, 768 + (high & 0xff)) ^
      at8(tables, 512 + ((high >>> 8) & 0xff)) ^
      at8(tables, 256 + ((high >>> 16) & 0xff)) ^
      at8(tables, high >>> 24)
  }
  for (; at < end; at += 1) crc = at8(tables, (crc ^ (buffer[at] as number)) & 0xff) ^ (crc >>> 8)
  return (crc ^ -1) >>> 0
}

function word(buffer: Buffer, at: number): number {
  return (
    (buffer[at] as number) |
    ((buffer[at + 1] as number) << 8) |
    ((buffer[at + 2] as number) << 16) |
    ((buffer[at + 3] as number) << 24)
  )
}

function at8(tables: Int32Array, index: number): number {
  return tables[index] as number
}

function makeTables(): Int32Array {
  const tables = new Int32Array(8 * 256)
  for (let byte = 0; byte < 256; byte += 1) {
    let remainder = byte
    for (let bit = 0; bit < 8; bit += 1)
      remainder = (remainder & 1) === 0 ? remainder >>> 1 : (remainder >>> 1) ^ POLYNOMIAL
    tables[byte] = remainder
  }
  for (let index = 256; index < tables.length; index += 1) {
    const previous = at8(tables, index - 256)
    tables[index] = at8(tables, previous & 0xff) ^ (previous >>> 8)
  }
  return tables
}
