import MMoEData
import MMoEReport

/// Pictures with the classes that a model takes them for.
package enum PredictionSheet {
  /// How many pictures of an evaluation are drawn.
  static let count = 12

  /// - Parameters:
  ///   - shown: of files that are pictures.
  ///   - classes: their names.
  /// - Throws: `DataError` for a picture that cannot be read any more.
  package static func picture(_ shown: [ClassPrediction], classes: [String], columns: Int, _ text: TextDrawer) throws
    -> RGBImage
  {
    try ContactSheet(columns: min(shown.count, columns), side: ContactSheet.labeledSide).image(
      shown.count, lines: 2, text
    ) { place in
      let one = shown[place]
      let color = one.isCorrect ? ContactSheet.black : ContactSheet.red
      let captions = [
        ContactSheet.Caption(
          classes[one.predicted], HumanFormat.percent(Double(one.probability), digits: 0), color: color),
        ContactSheet.Caption("is \(classes[one.label])"),
      ]
      return (try RGBImage(contentsOf: one.path, atLeast: 2 * ContactSheet.labeledSide), captions)
    }
  }

  /// The same samples after every evaluation, spread over the set: what changes is what the model makes of them.
  ///
  /// - Returns: nil where there is no picture among them, or no font to write with.
  static func picture(ofEvaluation predictions: [ClassPrediction], classes: [String]) throws -> RGBImage? {
    let shown = spread(count, over: predictions.count).map { predictions[$0] }.filter { ImageFormat.reads($0.path) }
    guard !shown.isEmpty, let text = try? TextDrawer() else { return nil }
    return try picture(shown, classes: classes, columns: 6, text)
  }
}
