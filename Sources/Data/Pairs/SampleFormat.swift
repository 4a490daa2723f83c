import MMoEFiles
import MMoETensor

/// What a file of a pair became when it was decoded.
public protocol DecodedSample: Sendable {
  /// Bytes that it takes in memory.
  var byteCount: Int { get }
}

/// How loaders change samples on their way to a model.
public struct SampleSettings: Sendable {
  /// Of pictures; `none` in evaluation.
  public var augmentation: Augmentation
  /// Of pictures.
  public var normalization: PixelNormalization
  /// Whether samples may vary from pass to pass, as in training.
  public var varies: Bool

  public init(augmentation: Augmentation, normalization: PixelNormalization, varies: Bool) {
    (self.augmentation, self.normalization, self.varies) = (augmentation, normalization, varies)
  }
}

/// One kind of files that items of a `PairFolder` can have: its field in `captions.jsonl`, and how a file becomes numbers.
///
/// Another kind is a value in `SampleFormat.registry`; folders, loaders and digests follow.
public struct SampleFormat: Sendable {
  /// Writes one sample, `[channels, height, width]` floats, from what was decoded. The random numbers are those of the item
  /// and the pass over the data. A writer may own scratch: one thread uses it.
  public typealias Writer = (_ sample: any DecodedSample, _ random: CounterRandom, _ into: UnsafeMutablePointer<Float>)
    ->
    Void

  /// The field, such as `image`.
  public let field: String
  /// What its files are called where they are counted, such as `images`.
  public let plural: String
  /// The formats of files, for messages, such as `PNG`.
  public let kinds: String
  /// Whether an item may have several, of which training draws one.
  public let allowsSeveral: Bool
  /// Whether a file is of this kind, by its name.
  public let reads: @Sendable (_ file: String) -> Bool
  /// Decodes a file for a model whose samples have this shape, `[channels, height, width]`. Throws `DataError` naming the file.
  public let decode: @Sendable (_ path: String, _ shape: [Int]) throws -> any DecodedSample
  /// What a sample of a shape has room for, such as `1.85 s`, and whether a file has more and is cut. Throws `DataError` for a
  /// file that cannot be looked at. Nil where nothing is cut.
  public let room: (@Sendable (_ shape: [Int]) -> (text: String, isCut: @Sendable (_ path: String) throws -> Bool))?
  /// Makes a thread's writer of samples of a shape.
  public let writer: @Sendable (_ shape: [Int], _ settings: SampleSettings) -> Writer

  public init(
    field: String, plural: String, kinds: String, allowsSeveral: Bool, reads: @escaping @Sendable (String) -> Bool,
    decode: @escaping @Sendable (_ path: String, _ shape: [Int]) throws -> any DecodedSample,
    room: (@Sendable (_ shape: [Int]) -> (text: String, isCut: @Sendable (_ path: String) throws -> Bool))? = nil,
    writer: @escaping @Sendable (_ shape: [Int], _ settings: SampleSettings) -> Writer
  ) {
    (self.field, self.plural, self.kinds, self.allowsSeveral) = (field, plural, kinds, allowsSeveral)
    (self.reads, self.decode, self.room, self.writer) = (reads, decode, room, writer)
  }

  /// By field. What an item is known by is its first field in this order.
  public static let registry = Registry("field of a pair", [image, audio].map { ($0.field, $0) })

  /// Pictures, `[3, side, side]`.
  static let image = SampleFormat(
    field: "image", plural: "images", kinds: ImageFormat.names, allowsSeveral: false, reads: ImageFormat.reads,
    decode: { path, shape in
      guard shape.count == 3, shape[0] == 3, shape[1] == shape[2] else {
        throw DataError(field: "the shape of images", found: "\(shape)", expected: "[3, side, side]")
      }
      return try RGBImage(contentsOf: path)
    },
    writer: { shape, settings in
      let resampler = Resampler(side: shape[2], normalization: settings.normalization)
      let augmentation = settings.varies ? settings.augmentation : .none
      return { sample, random, output in
        guard let image = sample as? RGBImage else { preconditionFailure("a sample of another format") }
        resampler.render(image, augmentation.view(of: image, random: random), into: output)
      }
    })
}

extension RGBImage: DecodedSample {
  public var byteCount: Int { pixels.count }
}
