/// Text as it stands in HTML, where nothing in it is special.
package func htmlText(_ text: String) -> String {
  var escaped = ""
  for character in text.unicodeScalars {
    switch character {
    case "&": escaped += "&amp;"
    case "<": escaped += "&lt;"
    case ">": escaped += "&gt;"
    case "\"": escaped += "&quot;"
    // What no document may hold becomes the sign for it.
    case _ where character.value < 0x20 && !"\n\t".unicodeScalars.contains(character): escaped += "\u{FFFD}"
    default: escaped.unicodeScalars.append(character)
    }
  }
  return escaped
}
