"""What Laurel's services share: values, errors, the program model, contracts, and the edges (`io`)."""
