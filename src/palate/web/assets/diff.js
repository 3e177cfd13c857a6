// Marks the words of two rendered answers that the other does not have, inside their formatting.
//
// The words to keep are a longest common subsequence, found by dynamic programming over the middle that is
// left once the common beginning and end are cut off.

const CELLS = 4_000_000;

function words(root) {
  const found = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    for (const match of node.data.matchAll(/[\p{L}\p{N}\p{M}_]+|[^\s\p{L}\p{N}\p{M}_]/gu)) {
      found.push({ node, from: match.index, to: match.index + match[0].length, text: match[0] });
    }
  }
  return found;
}

function changed(left, right) {
  let start = 0;
  const shorter = Math.min(left.length, right.length);
  while (start < shorter && left[start].text === right[start].text) start += 1;
  let end = 0;
  while (end < shorter - start && left[left.length - 1 - end].text === right[right.length - 1 - end].text) end += 1;
  const a = left.slice(start, left.length - end);
  const b = right.slice(start, right.length - end);
  if (a.length * b.length > CELLS) return null;
  const width = b.length + 1;
  const best = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      best[i * width + j] = a[i].text === b[j].text
        ? best[(i + 1) * width + j + 1] + 1
        : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
    }
  }
  const onlyLeft = [];
  const onlyRight = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i].text === b[j].text) {
      i += 1;
      j += 1;
    } else if (j === b.length || (i < a.length && best[(i + 1) * width + j] >= best[i * width + j + 1])) {
      onlyLeft.push(a[i]);
      i += 1;
    } else {
      onlyRight.push(b[j]);
      j += 1;
    }
  }
  return [onlyLeft, onlyRight];
}

function mark(list) {
  // From the end, so that the offsets of earlier words in the same node stay right; neighbours join.
  const spans = [];
  for (const word of list) {
    const last = spans.at(-1);
    if (last && last.node === word.node && !/\S/.test(word.node.data.slice(last.to, word.from))) last.to = word.to;
    else spans.push({ node: word.node, from: word.from, to: word.to });
  }
  for (const span of spans.reverse()) {
    const range = document.createRange();
    range.setStart(span.node, span.from);
    range.setEnd(span.node, span.to);
    range.surroundContents(document.createElement("mark"));
  }
}

// Returns whether the texts were short enough to compare.
export function markDifferences(left, right) {
  const found = changed(words(left), words(right));
  if (!found) return false;
  found.forEach(mark);
  return true;
}
