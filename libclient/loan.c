/* SPDX-License-Identifier: Apache-2.0 */

/* What a message needs of it, which knows no rings; the others are in borrow.c. */

#include "config.h"

#include "libclient/loan.h"

Loan *loan_ref(Loan *loan) {
        loan->n_refs++;
        return loan;
}

void loan_unref(Loan *loan) {
        Loans *loans;

        if (!loan || --loan->n_refs > 0)
                return;
        loans = loan->loans;
        while (loans->first != loans->end && loan_slot(loans, loans->first)->n_refs == 0)
                loans->first++;
}
