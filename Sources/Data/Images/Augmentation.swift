import Foundation
import MMoEFiles
import MMoETensor

/// How an image is turned into a model's square input: which part of it is seen, mirrored or not, how bright.
///
/// All randomness comes from `(seed, epoch, sample index)`, so a sample looks the same for any number of
/// loader threads, ranks and interruptions.
public struct Augmentation: Sendable, Codable, Equatable {
  /// Which part of the image is seen.
  public enum Crop: Sendable, Codable, Equatable {
    /// The largest centered square.
    case center
    /// The largest centered square, shifted by up to `pixels` output pixels each way; what comes in from
    /// outside is black (the usual augmentation for CIFAR).
    case padded(pixels: Int)
    /// A rectangle of random area (as a share of the image's) and aspect ratio, stretched to the square (the
    /// usual augmentation for ImageNet). Aspect ratios are drawn from `1/aspect…aspect`.
    case randomResized(minimumScale: Float, maximumScale: Float = 1, aspect: Float = 4 / 3)
  }

  public var crop: Crop
  /// Probability of mirroring left and right.
  public var flip: Float
  /// Brightness is multiplied by a factor in `1 − brightness … 1 + brightness`.
  public var brightness: Float
  /// The distance from the mean grey is multiplied by a factor in `1 − contrast … 1 + contrast`.
  public var contrast: Float

  public init(crop: Crop, flip: Float = 0.5, brightness: Float = 0, contrast: Float = 0) {
    self.crop = crop
    self.flip = flip
    self.brightness = brightness
    self.contrast = contrast
  }

  /// No augmentation: the shorter side resized, the center cropped. What evaluation uses.
  public static let none = Augmentation(crop: .center, flip: 0)

  /// Checks that every value is in its range.
  ///
  /// - Throws: `DataError` naming the field.
  public func validate() throws {
    func require(_ field: String, _ value: Float, in range: ClosedRange<Float>) throws {
      guard range.contains(value) else {
        throw DataError(
          field: "augmentation \(field)", found: "\(value)", expected: "\(range.lowerBound) to \(range.upperBound)")
      }
    }
    try require("flip", flip, in: 0...1)
    try require("brightness", brightness, in: 0...1)
    try require("contrast", contrast, in: 0...1)
    switch crop {
    case .center: break
    case .padded(let pixels):
      try require("padding", Float(pixels), in: 0...1024)
    case .randomResized(let minimum, let maximum, let aspect):
      try require("minimum scale", minimum, in: 0.001...1)
      try require("maximum scale", maximum, in: minimum...1)
      try require("aspect", aspect, in: 1...8)
    }
  }
}

/// One sample's draw: everything the resampler needs to know.
struct ImageView: Equatable {
  /// The part of the source that is stretched over the output, in source pixels.
  var x = 0
  var y = 0
  var width: Int
  var height: Int
  /// Output pixels by which the view is shifted; what comes in is black.
  var shiftX = 0
  var shiftY = 0
  var flipped = false
  var brightness: Float = 1
  var contrast: Float = 1

  /// All of an image.
  init(whole image: RGBImage) { (width, height) = (image.width, image.height) }

  /// The largest centered square of an image.
  init(centerOf image: RGBImage) {
    let side = min(image.width, image.height)
    x = (image.width - side) / 2
    y = (image.height - side) / 2
    width = side
    height = side
  }
}

extension Augmentation {
  /// Draws one sample's view. Every use of the sequence has an index of its own, so that switching one part
  /// off does not change what the others draw.
  func view(of image: RGBImage, random: CounterRandom) -> ImageView {
    var view = ImageView(centerOf: image)
    view.flipped = random.uniform(0) < flip
    view.brightness = random.uniform(1, 1 - brightness, 1 + brightness)
    view.contrast = random.uniform(2, 1 - contrast, 1 + contrast)
    switch crop {
    case .center: break
    case .padded(let pixels):
      view.shiftX = random.integer(3, below: 2 * pixels + 1) - pixels
      view.shiftY = random.integer(4, below: 2 * pixels + 1) - pixels
    case .randomResized(let minimum, let maximum, let aspect):
      drawRectangle(&view, of: image, scale: minimum...maximum, aspect: aspect, random: random)
    }
    return view
  }

  /// Ten attempts at a rectangle that fits, as is usual; the centered square stays when none does.
  private func drawRectangle(
    _ view: inout ImageView, of image: RGBImage, scale: ClosedRange<Float>, aspect: Float,
    random: CounterRandom
  ) {
    let area = Float(image.width) * Float(image.height)
    for attempt in 0..<10 {
      let draw = UInt64(8 + 4 * attempt)
      let target = area * random.uniform(draw, scale.lowerBound, scale.upperBound)
      let ratio = exp(random.uniform(draw + 1, -log(aspect), log(aspect)))
      let width = max(1, Int((target * ratio).squareRoot().rounded()))
      let height = max(1, Int((target / ratio).squareRoot().rounded()))
      guard width <= image.width, height <= image.height else { continue }
      view.x = random.integer(draw + 2, below: image.width - width + 1)
      view.y = random.integer(draw + 3, below: image.height - height + 1)
      view.width = width
      view.height = height
      return
    }
  }
}
