//! Operators that got another name, and modes that got another name or default.

use super::patch::{Adapted, Patch, text};

/// Since version 10 the operator is a case of Resize.
pub(super) fn upsample_to_resize(patch: &mut Patch<'_>) -> Adapted {
    patch.node.op_type = Some("Resize".to_owned());
    Ok(())
}

/// In version 11 Resize got a region and choices of how positions are meant; what it meant before is one of each.
pub(super) fn resize_as_before(patch: &mut Patch<'_>) -> Adapted {
    if patch.node.input.len() == 2 {
        patch.node.input.insert(1, String::new());
    }
    patch.node.attribute.push(text("coordinate_transformation_mode", "asymmetric"));
    patch.node.attribute.push(text("nearest_mode", "floor"));
    Ok(())
}

/// Version 18 turned down a region without the mode that uses it.
pub(super) fn resize_axes(patch: &mut Patch<'_>) -> Adapted {
    let mode = patch.node.attribute.iter().find(|a| a.name.as_deref() == Some("coordinate_transformation_mode"));
    let crops = mode.is_some_and(|mode| mode.s.as_deref() == Some(b"tf_crop_and_resize"));
    if let Some(region) = patch.node.input.get_mut(1).filter(|_| !crops) {
        region.clear();
    }
    Ok(())
}

/// In version 11 the operator got another name.
pub(super) fn scatter_elements(patch: &mut Patch<'_>) -> Adapted {
    patch.node.op_type = Some("ScatterElements".to_owned());
    Ok(())
}

/// In version 16 the default became `half_pixel`.
pub(super) fn roi_align(patch: &mut Patch<'_>) -> Adapted {
    const MODE: &str = "coordinate_transformation_mode";
    if !patch.has(MODE) {
        patch.node.attribute.push(text(MODE, "output_half_pixel"));
    }
    Ok(())
}

/// In version 20 the modes got other names.
pub(super) fn grid_sample(patch: &mut Patch<'_>) -> Adapted {
    let renamed = |old: &[u8]| match old {
        b"bilinear" => Some("linear"),
        b"bicubic" => Some("cubic"),
        _ => None,
    };
    match patch.node.attribute.iter_mut().find(|a| a.name.as_deref() == Some("mode")) {
        Some(mode) => {
            if let Some(new) = mode.s.as_deref().and_then(renamed) {
                *mode = text("mode", new);
            }
        }
        None => patch.node.attribute.push(text("mode", "linear")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::patch::adapted, *};
    use crate::model::onnx::{
        attribute,
        proto::NodeProto,
        testing::{GraphBuilder, line},
    };

    fn carried(builder: GraphBuilder, adapter: fn(&mut Patch<'_>) -> Adapted) -> NodeProto {
        adapted(builder, adapter).unwrap().0.remove(0)
    }

    fn mode(node: &NodeProto, name: &str) -> Option<String> {
        attribute(node, name).and_then(|a| a.s.as_deref()).map(|text| String::from_utf8_lossy(text).into_owned())
    }

    const COORDINATES: &str = "coordinate_transformation_mode";

    #[test]
    fn an_upsample_is_a_resize_and_a_scatter_one_of_elements() {
        let upsample = GraphBuilder::new().node("Upsample", &["x", "s"], &["y"]);
        assert_eq!(line(&carried(upsample, upsample_to_resize)), "Resize(x, s) -> y");
        let scatter = GraphBuilder::new().node("Scatter", &["x", "i", "u"], &["y"]);
        assert_eq!(line(&carried(scatter, scatter_elements)), "ScatterElements(x, i, u) -> y");
    }

    #[test]
    fn a_resize_says_what_it_meant() {
        let node = carried(GraphBuilder::new().node("Resize", &["x", "s"], &["y"]), resize_as_before);
        assert_eq!(line(&node), "Resize(x, , s) -> y");
        assert_eq!(mode(&node, COORDINATES).as_deref(), Some("asymmetric"));
        assert_eq!(mode(&node, "nearest_mode").as_deref(), Some("floor"));
    }

    #[test]
    fn a_region_that_no_mode_uses_is_left_out() {
        let resize = || GraphBuilder::new().node("Resize", &["x", "roi", "s"], &["y"]);
        assert_eq!(line(&carried(resize(), resize_axes)), "Resize(x, , s) -> y");
        let crops = resize().text(COORDINATES, "tf_crop_and_resize");
        assert_eq!(line(&carried(crops, resize_axes)), "Resize(x, roi, s) -> y");
    }

    #[test]
    fn a_roi_align_says_its_old_default() {
        let align = || GraphBuilder::new().node("RoiAlign", &["x", "r", "b"], &["y"]);
        assert_eq!(mode(&carried(align(), roi_align), COORDINATES).as_deref(), Some("output_half_pixel"));
        let said = align().text(COORDINATES, "half_pixel");
        assert_eq!(mode(&carried(said, roi_align), COORDINATES).as_deref(), Some("half_pixel"));
    }

    #[test]
    fn the_modes_of_a_grid_sample_have_new_names() {
        let sample = || GraphBuilder::new().node("GridSample", &["x", "g"], &["y"]);
        assert_eq!(mode(&carried(sample(), grid_sample), "mode").as_deref(), Some("linear"));
        for (old, new) in [("bilinear", "linear"), ("bicubic", "cubic"), ("nearest", "nearest")] {
            assert_eq!(mode(&carried(sample().text("mode", old), grid_sample), "mode").as_deref(), Some(new));
        }
    }
}
