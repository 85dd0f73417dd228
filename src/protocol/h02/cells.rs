//! Cells and access points in text.

use crate::domain::{Cell, Moment};

/// Most cells taken from a message.
const CELLS_MAX: usize = 16;

/// `V3,time,MCCMNC,count,(LAC,CID,…,signal)…`
pub fn of_v3(fields: &[&str], moment: &mut Moment) {
    let Some(network) = fields.get(4).filter(|n| n.len() > 3 && n.is_char_boundary(3)) else { return };
    let count = fields.get(5).and_then(|n| n.parse::<usize>().ok()).unwrap_or(0).min(CELLS_MAX);
    for cell in fields.get(6..).unwrap_or_default().chunks(4).take(count) {
        if let (Ok(mcc), Ok(mnc), Some(Ok(area)), Some(Ok(id))) = (
            network[..3].parse(),
            network[3..].parse(),
            cell.first().map(|f| f.parse()),
            cell.get(1).map(|f| f.parse()),
        ) {
            moment.network.cells.push(Cell { mcc, mnc, area, cell: id, signal_dbm: None });
        }
    }
}

/// `NBR,time,MCC,MNC,delay,count,(LAC,CID,signal)…`
pub fn of_nbr(fields: &[&str], moment: &mut Moment) {
    let number = |n: usize| fields.get(n).and_then(|f| f.parse::<u16>().ok());
    let (Some(mcc), Some(mnc), Some(count)) = (number(4), number(5), number(7)) else { return };
    for cell in fields.get(8..).unwrap_or_default().chunks(3).take(usize::from(count).min(CELLS_MAX)) {
        if let [area, id, ..] = cell
            && let (Ok(area), Ok(id)) = (area.parse(), id.parse())
        {
            moment.network.cells.push(Cell { mcc, mnc, area, cell: id, signal_dbm: None });
        }
    }
}

/// `VP1,V,MCC,MNC,LAC,CID,signalYLAC,CID,signal…`
pub fn of_vp1(fields: &[&str], moment: &mut Moment) {
    let number = |n: usize| fields.get(n).and_then(|f| f.parse::<u16>().ok());
    let (Some(mcc), Some(mnc), Some(list)) = (number(4), number(5), fields.get(6..)) else { return };
    let words = list.iter().flat_map(|f| f.split('Y')).collect::<Vec<_>>();
    for cell in words.chunks(3).take(CELLS_MAX) {
        if let [area, id, ..] = cell
            && let (Ok(area), Ok(id)) = (area.parse(), id.parse())
        {
            moment.network.cells.push(Cell { mcc, mnc, area, cell: id, signal_dbm: None });
        }
    }
}
