import MMoETensor

/// A sample of the training part: as evaluation shows it, and as passes over the training data do. What `mmoe data preview` draws.
package struct DrawnSample: Sendable {
  /// Its file, or the line of its item.
  package let name: String
  /// The name of its class, or its first caption.
  package let label: String
  /// Of the pair's field; empty for an image of a folder.
  package let field: String
  /// Without augmentation.
  package let plain: RGBImage
  /// What the first, second, … pass shows.
  package let draws: [RGBImage]

  /// The first samples of training, in its order.
  fileprivate static func entries(
    _ count: Int, of images: Int, groups: [[Int]]?, _ options: LoaderOptions, _ order: LoaderOrder
  ) -> [SampleEntry] {
    let division = BatchDivision(batch: min(count, images), rank: 0, ranks: 1, accumulation: 1)
    return SampleOrder(order: order, images: images, division: division, seed: options.seed, groups: groups)
      .entries(step: 0) ?? []
  }
}

extension ImageSource {
  /// The first images of training, with what `draws` passes show of them.
  ///
  /// - Parameters:
  ///   - options: of the loader of a training; the batch size does not matter.
  ///   - order: `training` or `overfit`.
  /// - Throws: `DataError` for options out of range, or naming an image that cannot be decoded.
  package func drawnSamples(
    _ count: Int, draws: Int, _ options: LoaderOptions, _ order: LoaderOrder
  ) throws -> [DrawnSample] {
    try options.validate()
    let drawing = ImageDrawing(options, order)
    let evaluation = ImageDrawing(options, .evaluation)
    func picture(_ drawing: ImageDrawing, _ image: RGBImage, _ index: Int, epoch: Int) -> RGBImage {
      let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: drawing.count)
      defer { values.deallocate() }
      drawing.draw(image, index, epoch: epoch, into: values.baseAddress!)
      return RGBImage(
        input: UnsafeBufferPointer(values), side: options.imageSize, normalization: options.normalization)
    }
    return try DrawnSample.entries(count, of: set.drawnCount, groups: set.groups, options, order).compactMap { entry in
      guard let (index, image) = try goodImage(from: entry.index, replaces: true) else { return nil }
      return DrawnSample(
        name: set.images[index].path, label: set.classes[Int(set.images[index].label)], field: "",
        plain: picture(evaluation, image, index, epoch: 0),
        draws: (0..<draws).map { picture(drawing, image, index, epoch: entry.epoch + $0) })
    }
  }
}

extension PairSource {
  /// The first items of training, a sample for each image and recording, with what `draws` passes show of them; of several
  /// recordings of an item every pass draws one. Fields of other kinds of files are passed over.
  ///
  /// - Parameters:
  ///   - options: of the loader of a training; the batch size does not matter.
  ///   - order: `training` or `overfit`.
  /// - Throws: `DataError` for options out of range, or naming a file that cannot be decoded.
  package func drawnSamples(
    _ count: Int, draws: Int, _ options: LoaderOptions, _ order: LoaderOrder
  ) throws -> [DrawnSample] {
    try options.validate()
    let (drawing, evaluation) = (PairDrawing(self, options, order), PairDrawing(self, options, .evaluation))
    let groups = set.groups
    /// The picture of each field that the item has; nil for others.
    func pictures(_ drawing: PairDrawing, _ index: Int, epoch: Int) throws -> [RGBImage?] {
      guard let samples = try drawing.samples(of: index, epoch: epoch) else { return drawing.writers.map { _ in nil } }
      return zip(drawing.writers, samples).map { writer, sample in
        guard let sample, let shape = shapes[writer.field] else { return nil }
        let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: writer.count)
        defer { values.deallocate() }
        writer.draw(sample, index, epoch: epoch, into: values.baseAddress!)
        switch writer.field {
        case SampleFormat.image.field:
          return RGBImage(
            input: UnsafeBufferPointer(values), side: shape[2], normalization: options.normalization)
        case SampleFormat.audio.field: return LogMel.picture(Array(values), bands: shape[1], frames: shape[2])
        default: return nil
        }
      }
    }
    return try DrawnSample.entries(count, of: groups.count, groups: groups, options, order).flatMap { entry in
      guard let (index, _) = try drawing.goodItem(entry) else { return [DrawnSample]() }
      let item = set.items[index]
      let plain = try pictures(evaluation, index, epoch: 0)
      let drawn = try (0..<draws).map { try pictures(drawing, index, epoch: entry.epoch + $0) }
      return drawing.writers.enumerated().compactMap { place, writer in
        guard let plain = plain[place] else { return nil }
        return DrawnSample(
          name: item.place, label: item.captions[0],
          field: writer.field, plain: plain, draws: drawn.compactMap { $0[place] })
      }
    }
  }
}
