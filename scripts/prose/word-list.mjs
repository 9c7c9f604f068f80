/**
 * @typedef {object} Phrase
 * @property {RegExp} pattern Global and case-insensitive; a space in it stands for any white space.
 * @property {string} instead What to write.
 */

/**
 * @param {string} source
 * @param {string} instead
 * @returns {Phrase}
 */
const phrase = (source, instead) => ({
  pattern: new RegExp(`(?<![\\w-])(?:${source.replaceAll(' ', '\\s+')})(?![\\w-])`, 'gi'),
  instead,
})

/** Phrases that are always wrong in this project's prose, each with its replacement. */
export const PHRASES = [
  phrase('(?:made|makes?|making) (?:\\w+ )?anew', '"created", "recreated"'),
  phrase('(?:is|are|was|were|be|been|being) told(?! apart)', '"reports", "logs", "notifies", "returns"'),
  phrase('at work', '"running", "in flight"'),
  phrase('on (?:its|their) way(?! (?:in|out|through))', '"in flight"'),
  phrase('(?:by|of) (?:itself|themselves)', '"automatically"'),
  phrase("of (?:its|their|his|one's|your|our) own", '"its own", "separate", "custom"'),
  phrase('left out', '"default", "omitted"'),
  phrase('where (?:it|they|he) stands?', '"offset"; a group\'s: "committed offset"'),
  phrase('(?:left|leaves?|leaving) (?:\\w+ )?behind', '"abandoned"'),
  phrase('outliv(?:e|es|ed|ing)', '"abandoned"'),
  phrase('looks? at (?:the )?topics', '"polls"'),
  phrase('a look at', '"polls"'),
  phrase('(?:stands?|lies?|stood|lay) in', '"is in"'),
  phrase('for ever', '"forever"'),
  phrase("that can(?:'t|not) be(?= ?[.,;:)]|$)", '"invalid"'),
  phrase('whoever', '"the caller", "the member that …"'),
  phrase('nobody asks', '"no request is pending"'),
  phrase('(?:holds?|held|holding) (?:\\w+ )?up', '"block"'),
  phrase('the day of the switch', '"when you switch"'),
  phrase('signs? of life', '"activity", "heartbeat"'),
  phrase('heirs?', '"the member that takes over"'),
  phrase('(?:come|comes|came) and (?:go|goes|went)', '"are assigned and revoked"'),
  phrase('(?:tried|sent|read|opened|started|asked|delivered) anew', '"again"'),
]

/** Words that have right uses too: their number per file is limited by the budget. */
export const WORDS = [
  ...['made', 'told', 'tell', 'tells', 'anew', 'place', 'places', 'text', 'texts', 'stands', 'lies', 'nobody'],
  ...['come', 'comes', 'came', 'coming', 'go', 'goes', 'gone', 'went', 'leave', 'leaves', 'left'],
]
