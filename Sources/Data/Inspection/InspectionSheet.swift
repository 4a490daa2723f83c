/// Some samples of a data set on one picture, what `mmoe data inspect --sheet` draws.
package enum InspectionSheet {
  /// Pictures of a row: most of the training part, the last ones of validation.
  private static let (columns, valColumns) = (10, 2)
  /// Rows at most; the picture of so many has 16 megapixels.
  package static let rows = 200

  /// A row of images for each class, at most `rows`; those that cannot be read are passed over.
  ///
  /// - Parameter bad: paths of these.
  /// - Throws: `DataError` for a file that has changed meanwhile.
  package static func image(_ folder: ImageFolder, bad: Set<String>, _ text: TextDrawer) throws -> RGBImage {
    let shown = min(folder.classes.count, rows)
    func byClass(_ split: DatasetSplit) throws -> [[ImageSet.Entry]] {
      var images = [[ImageSet.Entry]](repeating: [], count: shown)
      for image in try folder[split].images where image.label < shown && !bad.contains(image.path) {
        images[Int(image.label)].append(image)
      }
      return images
    }
    let parts = (try byClass(.train), try byClass(.val))
    let trainColumns = columns - valColumns
    let cells = (0..<shown).flatMap { label -> [(path: String?, caption: ContactSheet.Caption?)] in
      let (train, val) = (parts.0[label], parts.1[label])
      let name = ContactSheet.Caption(folder.classes[label], "\(train.count) train", columns: trainColumns)
      let other = ContactSheet.Caption("", "\(val.count) val", columns: valColumns)
      return row(train, trainColumns, name) + row(val, valColumns, other)
    }
    return try ContactSheet(columns: columns, side: side(rows: shown)).image(cells.count, lines: 1, text) { place in
      let cell = cells[place]
      let picture = try cell.path.map { try RGBImage(contentsOf: $0, atLeast: 2 * ContactSheet.labeledSide) }
      return (picture, [cell.caption].compactMap { $0 })
    }
  }

  /// Items with their first captions, most of them of the training part; recordings as spectrograms.
  ///
  /// - Parameter bad: paths of files that cannot be read.
  /// - Returns: nil where no item has a file that can be drawn.
  /// - Throws: `DataError` for a file that has changed meanwhile.
  package static func image(_ folder: PairFolder, bad: Set<String>, _ text: TextDrawer) throws -> RGBImage? {
    let fields = [SampleFormat.image.field, SampleFormat.audio.field]
    func drawn(_ split: DatasetSplit, _ count: Int) -> [(item: PairItem, field: String, path: String)] {
      let all = folder[split].items.compactMap { item in
        fields.lazy.compactMap { field in item[field].first { !bad.contains($0) }.map { (item, field, $0) } }.first
      }
      return spread(count, over: all.count).map { all[$0] }
    }
    let (train, val) = (drawn(.train, 4 * columns), drawn(.val, columns))
    // Each part begins a row.
    let cells = padded(train) + val.map(Optional.some)
    guard !cells.isEmpty else { return nil }
    return try ContactSheet(columns: columns, side: ContactSheet.labeledSide).image(cells.count, lines: 2, text) {
      place in
      guard let cell = cells[place] else { return (nil, []) }
      let isTrain = place < cells.count - val.count
      let picture =
        cell.field == SampleFormat.image.field
        ? try RGBImage(contentsOf: cell.path, atLeast: 2 * ContactSheet.labeledSide)
        : LogMel(try Recording(contentsOf: cell.path), bands: 64).picture
      let label = cell.item.label >= 0 ? folder.labels[Int(cell.item.label)] : ""
      return (
        picture, [ContactSheet.Caption(cell.item.captions[0]), ContactSheet.Caption(label, isTrain ? "" : "val")]
      )
    }
  }

  /// Many rows are smaller ones: a viewer must open the sheet.
  private static func side(rows: Int) -> Int { rows > 50 ? ContactSheet.labeledSide / 2 : ContactSheet.labeledSide }

  private static func padded<Cell>(_ cells: [Cell]) -> [Cell?] {
    cells.map(Optional.some) + Array(repeating: nil, count: (columns - cells.count % columns) % columns)
  }

  private static func row(
    _ images: [ImageSet.Entry], _ count: Int, _ caption: ContactSheet.Caption
  ) -> [(path: String?, caption: ContactSheet.Caption?)] {
    let chosen = spread(count, over: images.count)
    return (0..<count).map { ($0 < chosen.count ? images[chosen[$0]].path : nil, $0 == 0 ? caption : nil) }
  }
}
