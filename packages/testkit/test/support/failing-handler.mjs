/** A handler that fails at the first attempt of every third message. */
export default () => (message) => {
  if (message.attempt === 1 && message.value % 3 === 0) throw new Error('planted')
}
